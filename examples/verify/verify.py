# Verifies x-rotor-signature with Python's standard library. `body` is the request's raw body, as bytes.
import hashlib, hmac, re, time


def verify(body, header, secret, tolerance_seconds=300, now=None):
    parts = re.fullmatch(r"t=([0-9]{10})((?:,v1=[0-9a-f]{64}){1,10})", header or "")
    if not parts or not secret:
        return False
    expected = hmac.new(secret.encode(), parts[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    matches = [hmac.compare_digest(expected, one) for one in parts[2].split(",v1=")[1:]]
    age = (time.time() if now is None else now) - int(parts[1])
    return any(matches) and abs(age) <= tolerance_seconds
