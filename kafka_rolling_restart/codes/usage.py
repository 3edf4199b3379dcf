"""Codes of wrong usage and wrong configuration."""

from kafka_rolling_restart.codes.entry import Chapter, Entry

USAGE = Chapter(
    "Wrong usage or configuration",
    "Exit status 2. Nothing was changed.",
    (
        Entry(
            "wrong-usage",
            "the command line is not valid",
            "An option or its value is wrong, or two options contradict each other. The line says "
            "which.",
            "Correct the option that the line names.",
            ("kafka-rolling-restart --help",),
        ),
        Entry(
            "no-terminal",
            "nobody can be asked for confirmation",
            "The run asks before it restarts anything, and its standard input is not a terminal.",
            "Add `--no-confirm` where nobody can be asked, such as in cron.",
        ),
        Entry(
            "cluster-type-unknown",
            "no folder has the file of the cluster type",
            "There is no TYPE.yaml in any of the folders that the line lists.",
            "Check `--cluster-type` and `--discovery-base-path`, or name the cluster with "
            "`--bootstrap-server` or `--zookeeper`.",
        ),
        Entry(
            "cluster-type-elsewhere",
            "TYPE.yaml was found in another folder than `--discovery-base-path` (warning)",
            "The folder of `--discovery-base-path` has no such file. The file that the line names "
            "is used instead.",
            "Check that this is the file that you want.",
        ),
        Entry(
            "cluster-name-unknown",
            "the file has no cluster of this name",
            "The file of the cluster type does not describe the cluster that was named.",
            "Check `--cluster-name`, or `local_config.cluster` in the file. The line lists the "
            "names in the file.",
        ),
        Entry(
            "cluster-name-missing",
            "no cluster was named",
            "The file has no `local_config.cluster`, so it has no default cluster.",
            "Add `--cluster-name NAME`. The line lists the names in the file.",
        ),
        Entry(
            "configuration-unreadable",
            "the file of the cluster type cannot be read",
            "The file or its folder cannot be read by this user, or the file is far too long.",
            "Check the permissions of the file that the line names.",
            ("ls -l FILE",),
        ),
        Entry(
            "configuration-invalid",
            "the file of the cluster type is not valid",
            "The file is not YAML, or a value in it is missing, has the wrong type, or a "
            "mistyped key.",
            "Correct the place that the line names. Each cluster must have `broker_list`, and "
            "`zookeeper` if it is on ZooKeeper.",
        ),
        Entry(
            "zookeeper-address-invalid",
            "the address of ZooKeeper is not valid",
            "The address must be host:port, host:port and more, with the path (the chroot) behind "
            "the last one.",
            "Correct `--zookeeper`, such as `--zookeeper zk1:2181,zk2:2181/kafka`.",
        ),
        Entry(
            "broker-ids-unknown",
            "`--broker-ids` names a broker that is not registered",
            "The broker is down, or it has another id.",
            "Start the broker, or remove it from `--broker-ids`. The line lists the ids that are "
            "registered.",
        ),
        Entry(
            "skip-too-large",
            "`--skip` is larger than the number of brokers",
            "There are fewer brokers than are to be skipped.",
            "Use a smaller `--skip`.",
        ),
        Entry(
            "task-not-found",
            "there is no module for `--task`",
            "Python finds no module of this name in the current folder or on PYTHONPATH.",
            "Run the command in the folder of the module, or set PYTHONPATH. In cron, begin the "
            "job with `cd FOLDER &&`, or set PYTHONPATH in the job.",
        ),
        Entry(
            "task-not-usable",
            "the module of `--task` cannot be used",
            "The module failed while it was imported, or it has no complete task class in it.",
            "Import the module by hand, with the Python of the virtual environment, to see where "
            "it fails.",
            ("~/kafka-rolling-restart/bin/python -c 'import MODULE'",),
        ),
        Entry(
            "task-args-refused",
            "a task did not accept its `--task-args`",
            "The task's own parser refused the words.",
            "Correct `--task-args`. A single word that begins with `-` needs `=`: "
            "`--task-args=-f`.",
        ),
        Entry(
            "password-missing",
            "a password is needed and nobody can be asked",
            "An option needs a password, its environment variable is not set, and there is no "
            "terminal.",
            "Set the environment variable that the line names, or run the command at a terminal.",
        ),
        Entry(
            "password-not-utf8",
            "a password is not valid UTF-8",
            "Passwords are sent as UTF-8, and this one cannot be. The password itself is never "
            "shown.",
            "Type it in UTF-8, and check the locale (LANG) of the terminal or of cron.",
            ("locale",),
        ),
        Entry(
            "key-passphrase-wrong",
            "the passphrase does not open the SSH key",
            "The passphrase that was typed is wrong.",
            "Add the key to the agent, then run the command again.",
            ("ssh-add KEYFILE",),
        ),
        Entry(
            "tls-file-unusable",
            "a file for TLS cannot be used",
            "The file cannot be read, or it has no certificate or key in PEM format, or its key is "
            "encrypted.",
            "Check the file that the line names. The key must belong to the certificate.",
            ("openssl x509 -noout -subject -in CERTIFICATE", "openssl pkey -noout -in KEY"),
        ),
        Entry(
            "command-config-unreadable",
            "the file of client properties cannot be read",
            "The file does not exist, this user may not read it, or it is far too long to be a "
            "properties file.",
            "Check the file and its permissions. It is a secret: only its owner should read it.",
            ("ls -l FILE",),
        ),
        Entry(
            "command-config-invalid",
            "a setting in the file of client properties is not valid",
            "The file is not a Java properties file, or the value of the setting that the line "
            "names is wrong or missing. The values of secrets are never shown.",
            "Correct the setting that the line names. The same file works with Kafka's own tools.",
            ("kafka-broker-api-versions.sh --bootstrap-server HOST:9092 --command-config FILE",),
        ),
        Entry(
            "command-config-unsupported",
            "a setting in the file of client properties is not supported",
            "Kafka's own tools know this setting and this program does not: a kind of login "
            "other than PLAIN and SCRAM, or a file of certificates in a Java format.",
            "Convert Java key stores to PEM with the command in the line. For the login, give "
            "the tool a user with SCRAM, or a client certificate.",
            ("keytool -list -keystore FILE",),
        ),
        Entry(
            "sasl-package-missing",
            "`--zookeeper-auth sasl` needs another package",
            "The package pure-sasl is not installed.",
            "Install it in the same virtual environment as this command.",
            ("~/kafka-rolling-restart/bin/pip install 'kafka-rolling-restart[sasl]'",),
        ),
        Entry(
            "home-unknown",
            "the home folder is not known",
            "A path begins with `~`, and neither HOME nor the list of users has the home folder.",
            "Set HOME, or give the whole path.",
        ),
        Entry(
            "ssh-config-invalid",
            "the SSH configuration is not valid",
            "A setting has a value that `ssh` would not accept, or a name for SSH is not a host "
            "name, or the file cannot be read.",
            "Correct the setting that the line names, then compare with what `ssh` makes of it.",
            ("ssh -G HOST",),
        ),
        Entry(
            "ssh-config-unsupported",
            "a setting of the SSH configuration is not supported",
            "`ssh` knows this setting and this program does not. Ignoring it could lead to another "
            "host.",
            "Write a file without the setting, and name the file with `--ssh-config`.",
        ),
        Entry(
            "ssh-config-permissions",
            "others may write to the SSH configuration",
            "The file belongs to another user or others may write to it, so `ssh` refuses it as "
            "well.",
            "Correct the owner and the permissions of the file that the line names.",
            ("ls -l FILE", "chmod go-w FILE"),
        ),
        Entry(
            "report-not-writable",
            "the file of `--report` cannot be written",
            "The folder is missing or full, or this user may not write there. Where the line "
            "says that somebody else owns the file or a link to it: they could change what the "
            "report says.",
            "Name a file in a folder of your own.",
        ),
    ),
)
