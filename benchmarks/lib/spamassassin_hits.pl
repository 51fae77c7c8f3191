#!/usr/bin/perl
# Print what SpamAssassin says of messages without network: a line of JSON each, with every rule that hit, those of other
# rules' parts included, and how often. Usage: perl spamassassin_hits.pl RULES_DIR SITE_DIR < LIST_OF_MESSAGES
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my ($rules, $site) = @ARGV;
my $checker = Mail::SpamAssassin->new({
    rules_filename => $rules, site_rules_filename => $site, userprefs_filename => '/dev/null',
    dont_copy_prefs => 1, local_tests_only => 1, require_rules => 1,
    post_config_text => "use_bayes 0\nuse_auto_welcomelist 0\n",
});
$checker->init(1);
my $json = JSON::PP->new->canonical->ascii;
while (my $path = <STDIN>) {
    chomp $path;
    open(my $in, '<:raw', $path) or die "$path: $!";
    my $raw = do { local $/; <$in> };
    close $in;
    my $mail = $checker->parse($raw);
    my $status = $checker->check($mail);
    my $seen = $status->{tests_already_hit};
    my %hits = map { $_ => $seen->{$_} } grep { $seen->{$_} } keys %$seen;
    print $json->encode({ file => $path, hits => \%hits }), "\n";
    $status->finish;
    $mail->finish;
}
