//! What the command line refuses, and what it says then. No server is needed: none of these gets
//! as far.

use std::net::TcpListener;

use assert_cmd::Command;

fn kvbench(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("kvbench").expect("kvbench is built");
    command.env_remove("KVCORE_SEEDS").args(arguments);
    command
}

#[track_caller]
fn refused(arguments: &[&str], because: &str) {
    let output = kvbench(arguments).assert().failure().code(2).get_output().clone();
    let stderr = String::from_utf8(output.stderr).expect("sentences are text");
    assert!(stderr.contains(because), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn usage_errors_exit_with_2_and_name_the_flag() {
    refused(&[], "Usage");
    refused(&["run", "--workload", "e"], "none of YCSB's workloads");
    refused(&["run", "--ratio", "0:0"], "0:0");
    refused(&["run", "--ratio", "1:1", "--workload", "a"], "cannot be used with");
    refused(&["run", "--duration", "10"], "needs a unit");
    refused(&["run", "--rate", "0"], "--rate is 1 to");
    refused(&["run", "--keys", "0"], "--keys is 1 to");
    refused(&["run", "--connections", "0"], "--connections is 1 to");
    refused(&["run", "--pipeline", "5000"], "--pipeline is 1 to 4096");
    refused(&["run", "--value", "2MiB"], "values have at most 1048576 bytes");
    refused(&["run", "--threads", "3", "--connections", "2"], "each needs one");
    refused(&["run", "--cores", "4000"], "CPU 4000 is not one this process may use");
    refused(&["run", "--cores", "3-1"], "ends before it begins");
    refused(&["run", "--target", "echo", "--verify"], "--verify has no meaning");
    refused(&["run", "--writers", "1", "--ops", "5"], "--ops says nothing");
    refused(&["run", "--server-pid", "4294967295"], "no process 4294967295");
    refused(&["run", "--ttl", "1us"], "--ttl is at least 1ms");
    refused(&["run", "--consistency", "MOST"], "MOST");
    refused(&["compare", "--rounds", "0"], "0 is not in 1..=1000");
    refused(&["compare", "--only", "speed"], "get-pipeline1");
    refused(&["load", "--ratio", "1:1"], "unexpected argument");
    refused(&["load", "--ledger", "x", "--value", "11"], "at least 12 bytes");
    refused(&["run", "--ledger", "x", "--value", "8..100"], "at least 12 bytes");
    refused(&["run", "--ledger", "x", "--ttl", "1h"], "what has expired looks like");
    refused(&["run", "--ledger", "x", "--target", "echo"], "it stores nothing");
    refused(&["verify"], "--ledger <FILE>");
    refused(&["verify", "--ledger", "x", "--pipeline", "0"], "--pipeline is 1 to");
    refused(&["verify", "--ledger", "x", "--connections", "99999"], "--connections is 1 to");
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    // Bound and never listening for long: the port was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let seed = format!("127.0.0.1:{port}");
    let output = kvbench(&["run", "--seeds", &seed]).assert().code(1).get_output().clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(&format!("cannot connect to {seed}")), "{stderr}");
    let output = kvbench(&["load"]).env("KVCORE_SEEDS", "nowhere.invalid").assert().code(1);
    let stderr = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("nowhere.invalid is no address"), "{stderr}");
}

/// No server is asked before the ledger is known to be one.
#[test]
fn what_is_no_ledger_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let name = path.to_str().unwrap();
    let says = |verb: &str, because: &str| {
        let output = kvbench(&[verb, "--ledger", name]).assert().code(1).get_output().clone();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(because), "{verb}: {stderr}");
    };
    says("verify", "there is no ledger");
    let cases: [(&[u8], &str); 3] = [
        (b"operations 5\n", "not a ledger of kvbench"),
        (b"kvledger\x63\0\0\0", "of version 99, and this kvbench reads version 1"),
        (b"kvledger\x01\0\0\0\0\0\0\0\x64\0\0\0\0\0\0\0", "cut or grown: 24 bytes, and 100"),
    ];
    for (bytes, because) in cases {
        std::fs::write(&path, bytes).unwrap();
        for verb in ["verify", "run", "load"] {
            says(verb, because);
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn help_explains_latency_and_exit_codes() {
    let output = kvbench(&["--help"]).assert().success().get_output().clone();
    let help = String::from_utf8(output.stdout).unwrap().replace('\n', " ");
    for wanted in ["coordinated omission", "Exit codes", "LOADGEN SATURATED", "kill -9"] {
        assert!(help.contains(wanted), "{help}");
    }
}
