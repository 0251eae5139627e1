# Verifies x-rotor-signature with Perl's core modules. $body is the request's raw body, as bytes.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);

sub verify {
    my ($body, $header, $secret, $tolerance_seconds, $now) = @_;
    return 0 unless ($header // '') =~ /\At=([0-9]{10})((?:,v1=[0-9a-f]{64}){1,10})\z/ && length($secret // '');
    my ($t, $signatures) = ($1, $2);
    my $expected = hmac_sha256_hex("$t.$body", $secret);
    # The sum of the differing bits of all bytes: it takes as long for a near miss as for any other.
    my $matches = grep { unpack('%32C*', $_ ^ $expected) == 0 } $signatures =~ /[0-9a-f]{64}/g;
    return $matches > 0 && abs(($now // time) - $t) <= ($tolerance_seconds // 300) ? 1 : 0;
}

1;
