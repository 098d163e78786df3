use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use engine::store::Durability;

use super::*;

fn machine() -> Machine {
    Machine { cpus: vec![0, 1, 2, 3], memory_bytes: 16 << 30, host: "box".to_owned() }
}

fn resolved(flags: &[&str], vars: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    let arguments = std::iter::once("kvcore").chain(flags.iter().copied());
    let invocation = parse_arguments(arguments, "0").unwrap();
    let vars: BTreeMap<_, _> = vars.iter().copied().collect();
    resolve(&Sources {
        invocation: &invocation,
        environment: &|name| vars.get(name).map(|text| (*text).into()),
        file: Some(("kvcore.toml", file)),
        machine: &machine(),
    })
}

fn refusal(flags: &[&str], vars: &[(&str, &str)], file: &str) -> String {
    resolved(flags, vars, file).unwrap_err().to_string()
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = resolved(&[], &[], "").unwrap();
    assert_eq!(config.cpus, CpuChoice::All);
    assert_eq!(config.data_dir.to_str(), Some("./kvcore-data"));
    assert_eq!(config.memory_bytes, 4 << 30);
    assert_eq!(config.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:7402");
    assert_eq!(config.vnodes.0.count(), 4096);
    assert_eq!(config.durability, Durability::Sync);
    assert!(!config.compresses);
    assert_eq!(config.scrub, Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(config.spin, Duration::from_micros(20));
    assert_eq!(config.node_name, "box");
    assert!(!config.repair);
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file() {
    let file = "memory = \"1GiB\"\nrack = \"file\"\ndc = \"file\"\n";
    let vars = [("KVCORE_RACK", "variable"), ("KVCORE_DC", "variable")];
    let config = resolved(&["--dc", "flag"], &vars, file).unwrap();
    assert_eq!(config.memory_bytes, 1 << 30);
    assert_eq!((config.rack.as_str(), config.dc.as_str()), ("variable", "flag"));
}

#[test]
fn each_value_tells_where_it_came_from() {
    let file = "# a comment\nmemory = \"1GiB\"\n";
    let config = resolved(&["--dc", "d"], &[("KVCORE_LOG_LEVEL", "warn")], file).unwrap();
    let text = print_config(&config);
    for (setting, origin) in [
        ("memory = \"1GiB\"", "kvcore.toml:2"),
        ("dc = \"d\"", "--dc"),
        ("log-level = \"warn\"", "KVCORE_LOG_LEVEL"),
        ("rack = \"rack1\"", "default"),
        ("# cores", "not set"),
    ] {
        let line = text.lines().find(|line| line.starts_with(setting));
        let line = line.unwrap_or_else(|| panic!("{setting} in {text}"));
        assert!(line.ends_with(&format!("# {origin}")), "{line}");
    }
}

#[test]
fn a_printed_configuration_is_a_file_that_says_the_same() {
    let flags = ["--cores", "0,2", "--durability", "periodic:5ms", "--node-name", "a \"b\""];
    let first = resolved(&flags, &[], "").unwrap();
    let second = resolved(&[], &[], &print_config(&first)).unwrap();
    assert_eq!(second.cpus, CpuChoice::List(vec![0, 2]));
    let values = |config: &Config| -> Vec<_> {
        config.values.iter().map(|(name, (text, _))| (*name, text.clone())).collect()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn of_cores_and_smp_the_higher_layer_counts() {
    let smp = |config: Result<Config, ConfigError>| config.unwrap().cpus;
    assert_eq!(smp(resolved(&["--smp", "2"], &[], "cores = \"0-3\"")), CpuChoice::Count(2));
    assert_eq!(
        smp(resolved(&["--cores", "3"], &[("KVCORE_SMP", "2")], "")),
        CpuChoice::List(vec![3])
    );
    assert_eq!(smp(resolved(&[], &[], "cores = 3")), CpuChoice::List(vec![3]));
    let both = refusal(&["--cores", "0", "--smp", "1"], &[], "");
    assert!(both.starts_with("--cores and --smp: give one"), "{both}");
    let both = refusal(&[], &[], "cores = 0\nsmp = 1");
    assert!(both.starts_with("kvcore.toml:1 and kvcore.toml:2: give one"), "{both}");
}

#[test]
fn refusals_begin_with_the_place_to_look_at() {
    for (flags, vars, file, begins) in [
        (&["--memory", "4G"][..], &[][..], "", "--memory: \"4G\" is not a size"),
        (&[], &[("KVCORE_SPIN", "1s")][..], "", "KVCORE_SPIN: \"1s\" is more than 10ms"),
        (&[], &[], "\nspin = \"x\"", "kvcore.toml:2: \"x\" is not a time"),
        (&["--cores", "3-1"], &[], "", "--cores: \"3-1\" has a range that runs backwards"),
        (&["--smp", "0"], &[], "", "--smp: \"0\" is not a number of CPUs"),
        (&["--vnodes", "1000"], &[], "", "--vnodes: \"1000\" is not a power of two"),
        (&["--durability", "periodic:0us"], &[], "", "--durability: \"periodic:0us\" is not betw"),
        (&["--compression", "zstd"], &[], "", "--compression: \"zstd\" is neither none nor lz4"),
        (&["--durability", "often"], &[], "", "--durability: \"often\" is none of"),
        (&["--listen", "7400"], &[], "", "--listen: \"7400\" is not an address"),
        (&["--listen", "0.0.0.0:7400"], &[], "", "--listen: \"0.0.0.0:7400\" is not a loopback"),
        (&["--admin-listen", "[::]:1"], &[], "", "--admin-listen: \"[::]:1\" is not a loopback"),
        (&["--log-level", "info,=,"], &[], "", "--log-level: \"info,=,\" is no level"),
        (&["--log-format", "xml"], &[], "", "--log-format: \"xml\" is neither"),
        (&["--dc", ""], &[], "", "--dc: \"\" is not a name"),
        (&["--insecure=maybe"], &[], "", "--insecure: \"maybe\" is neither"),
        (&[], &[], "a\nb", "kvcore.toml:1: "),
        (&[], &[], "\n\nmemory = 1GiB", "kvcore.toml:3: "),
        (&[], &[], "memory = 1\nmemory = 2", "kvcore.toml:2: "),
        (&[], &[], "memory = [1]", "kvcore.toml:1: memory takes one value in quotes, found array"),
        (&[], &[], "\n[cache]\nx = 1", "kvcore.toml:2: \"cache\" is no setting"),
    ] {
        let refusal = refusal(flags, vars, file);
        assert!(refusal.starts_with(begins), "{refusal:?} should begin with {begins:?}");
    }
}

/// Found in review: such a variable was passed over, so a data directory was made in the default
/// place and not where it was said to be.
#[test]
fn a_variable_that_is_not_utf_8_is_refused_and_not_passed_over() {
    let bytes = OsString::from_vec(b"data-\xff".to_vec());
    let invocation = parse_arguments(["kvcore"], "0").unwrap();
    let (environment, file) =
        (&|name: &str| (name == "KVCORE_DATA_DIR").then(|| bytes.clone()), None);
    let sources = Sources { invocation: &invocation, environment, file, machine: &machine() };
    let refusal = resolve(&sources).unwrap_err().to_string();
    assert!(refusal.starts_with("KVCORE_DATA_DIR: ") && refusal.ends_with("is not UTF-8"));
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let refusal = refusal(&[], &[], "dc = \"a\"\ndata_dir = \"x\"\n");
    assert_eq!(refusal, "kvcore.toml:2: \"data_dir\" is no setting; do you mean \"data-dir\"?");
}

#[test]
fn insecure_addresses_are_taken_when_they_are_meant() {
    let flags = ["--listen", "0.0.0.0:7400", "--insecure"];
    assert!(resolved(&flags, &[], "").unwrap().listen.ip().is_unspecified());
    assert!(resolved(&["--listen", "[::1]:7400"], &[], "").is_ok());
    assert!(resolved(&["--listen", "localhost:7400"], &[], "").is_ok());
    assert!(resolved(&["--listen", "0.0.0.0:1", "--insecure=false"], &[], "").is_err());
}

#[test]
fn default_memory_follows_the_machine() {
    let memory = |memory_bytes, cpus: usize| {
        let invocation = parse_arguments(["kvcore"], "0").unwrap();
        let machine = Machine { cpus: (0..cpus).collect(), memory_bytes, host: "h".to_owned() };
        let (environment, file) = (&|_: &str| None::<OsString>, None);
        let sources = Sources { invocation: &invocation, environment, file, machine: &machine };
        resolve(&sources).unwrap().memory_bytes
    };
    assert_eq!(memory(64 << 30, 4), 4 << 30);
    assert_eq!(memory((3 << 30) + 12345, 4), 1536 << 20);
    assert_eq!(memory(1 << 40, 64), 16 << 30);
}

#[test]
fn usage_errors_are_clap_s() {
    for arguments in [&["kvcore", "--bogus"][..], &["kvcore", "stray"], &["kvcore", "--memory"]] {
        assert_eq!(parse_arguments(arguments.iter().copied(), "0").unwrap_err().exit_code(), 2);
    }
    assert_eq!(parse_arguments(["kvcore", "--version"], "0").unwrap_err().exit_code(), 0);
    let help = parse_arguments(["kvcore", "--help"], "0").unwrap_err().to_string();
    for flag in ["--cores", "--data-dir", "--print-config", "--config", "127.0.0.1:7400"] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
}
