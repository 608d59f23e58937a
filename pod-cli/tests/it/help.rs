//! Help, completions and man pages: one definition, all forms.

use crate::harness::World;

#[test]
fn help_of_the_program_and_of_every_command() {
    let world = World::new();
    let commands = [
        "",
        "import",
        "list",
        "search",
        "show",
        "segments",
        "log",
        "export",
        "fork",
        "compact",
        "resume",
        "rename",
        "tag",
        "pin",
        "archive",
        "unarchive",
        "rm",
        "undo",
        "budget",
        "budget set",
        "budget list",
        "budget rm",
        "usage",
        "usage explain",
        "usage rebuild",
        "ledger",
        "ledger accounts",
        "ledger history",
        "ledger events",
        "verify",
        "checkpoint",
        "checkpoints",
        "rollback",
        "manifest",
        "repair",
        "gc",
        "migrate",
        "doctor",
        "agents",
        "agents list",
        "agents test",
        "agents add",
        "config",
        "config get",
        "config set",
        "completions",
    ];
    for command in commands {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        insta::assert_snapshot!(format!("help_{}", command.replace(' ', "_")), world.pod(&arguments).ok());
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = World::new().pod(&["--version"]).ok();
    assert_eq!(version, format!("pod {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_every_command_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.pod(&["completions", shell]).ok();
        for word in ["import", "segments", "--session", "--archived"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell}: {word} is missing");
        }
    }
}

#[test]
fn there_is_a_man_page_for_the_program_and_for_every_command() {
    let world = World::new();
    let page = world.pod(&["man"]).ok();
    assert!(page.contains(".TH pod 1"), "{page}");
    assert!(page.contains("Exit codes"), "{page}");
    let folder = world.path().join("man");
    std::fs::create_dir(&folder).unwrap();
    world.pod(&["man", "--dir", folder.to_str().unwrap()]).ok();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let pages = "agents archive budget checkpoint checkpoints compact completions config doctor export fork gc import ledger list log manifest migrate pick pin rename repair resume \
                 rm rollback search segments show tag unarchive undo usage verify";
    let mut pages: Vec<String> = pages.split_whitespace().map(|command| format!("pod-{command}.1")).collect();
    pages.push("pod.1".to_owned());
    assert_eq!(names, pages);
    let list = std::fs::read_to_string(folder.join("pod-list.1")).unwrap();
    assert!(list.contains(".TH pod-list 1") && list.contains("archived"), "{list}");
}

#[test]
fn a_man_page_that_cannot_be_written_is_an_error_with_its_path() {
    let run = World::new().pod(&["man", "--dir", "not/there"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("not/there/pod.1"), "{run}");
}
