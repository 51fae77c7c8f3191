require ["vnd.dovecot.pipe", "copy", "imapsieve"];

# What a user puts into Junk is spam.
pipe :copy "filterproxy-learn" [ "spam" ];
