use strict;
use warnings;
use AnyEvent;
use AnyEvent::WebSocket::Client;
use JSON::PP;

$| = 1;
my $done = AnyEvent->condvar;
my %raised = $ENV{RAISED} ? (max_payload_size => 2**30, max_fragments => 1_000_000) : ();
my $client = AnyEvent::WebSocket::Client->new(http_headers => {Authorization => "Bearer $ENV{TOKEN}"}, %raised);
my $socket;
$client->connect($ENV{URL})->cb(sub {
    $socket = eval { shift->recv };
    if ($@) { print encode_json({error => "$@"}), "\n"; return $done->send }
    $socket->on(each_message => sub { print encode_json({got => length $_[1]->body}), "\n" });
    $socket->on(parse_error  => sub { print encode_json({error => "$_[1]"}), "\n" });
    $socket->on(finish       => sub { print encode_json({closed => $_[0]->close_code, why => $_[0]->close_reason}), "\n"; $done->send });
    $socket->send($ENV{START});
});
$done->recv;
