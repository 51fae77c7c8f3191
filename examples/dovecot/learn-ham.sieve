require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];

if environment :matches "imap.mailbox" "*" {
  set "mailbox" "${1}";
}

# Emptying Junk into the trash says nothing about a message, and neither does sorting junk.
if string :matches :comparator "i;ascii-casemap" "${mailbox}"
    ["Trash", "*/Trash", "*.Trash", "Trash/*", "Trash.*", "Deleted*", "*/Deleted*", "*.Deleted*", "Papierkorb*", "Cestino*",
     "Corbeille*", "Papelera*", "Junk", "Junk/*", "Junk.*", "Spam*", "*/Spam*", "*.Spam*"] {
  stop;
}

pipe :copy "filterproxy-learn" [ "ham" ];
