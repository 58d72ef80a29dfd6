use strict;
use warnings;
use Mojo::IOLoop;
use Mojo::JSON qw(encode_json);
use Mojo::UserAgent;

$| = 1;
my $web = Mojo::UserAgent->new;
$web->websocket($ENV{URL} => {Authorization => "Bearer $ENV{TOKEN}"} => sub {
    my ($agent, $tx) = @_;
    unless ($tx->is_websocket) { print encode_json({error => 'no upgrade'}), "\n"; return Mojo::IOLoop->stop }
    $tx->max_websocket_size(2**30) if $ENV{RAISED};
    $tx->on(text   => sub { my ($tx, $bytes) = @_; print encode_json({got => length $bytes}), "\n" });
    $tx->on(finish => sub { my ($tx, $code, $why) = @_; print encode_json({closed => $code, why => $why}), "\n"; Mojo::IOLoop->stop });
    $tx->send($ENV{START});
});
Mojo::IOLoop->start;
