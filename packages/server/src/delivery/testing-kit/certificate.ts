/** A certificate for `good.test` that vouches for itself, good for a hundred years. For tests only: its key is public. */

export const goodTestKey = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIHUMBwEmk2CQuVyAlKtUSeXm1qfz6XjZp2qa6bBw6ghWoAoGCCqGSM49
AwEHoUQDQgAEVKw/CmfNLOad7QlVkmXeIqSwyS3mYHeOzmnNzMNrX13JzMnL6dPS
WnHyf5M8bUU6rbYzG9OSdrTyiPoBjj/Kag==
-----END EC PRIVATE KEY-----
`;

export const goodTestCertificate = `-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUGkJWStPVXQbKZ0tSALOuJmsCFuswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJZ29vZC50ZXN0MCAXDTI2MTEyMzIxMDIzOFoYDzIxMjYxMDMw
MjEwMjM4WjAUMRIwEAYDVQQDDAlnb29kLnRlc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARUrD8KZ80s5p3tCVWSZd4ipLDJLeZgd47Oac3Mw2tfXcnMycvp09Ja
cfJ/kzxtRTqttjMb05J2tPKI+gGOP8pqo2kwZzAdBgNVHQ4EFgQUzMe6QaAAIIOK
Bj2DLlBbJRnfgTowHwYDVR0jBBgwFoAUzMe6QaAAIIOKBj2DLlBbJRnfgTowDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglnb29kLnRlc3QwCgYIKoZIzj0EAwID
RwAwRAIgKwIos7tIT/CG8d9QlKX+lKjgYS40kkjtpNoRtUoxrFICIGf8HitUqNqF
EFeflIwdkhMWipZjqrDhp4nlNDzHJSJe
-----END CERTIFICATE-----
`;
