//! Importers on files that nobody vouches for. The body is that of the fuzz targets.

use session_store::import::Agent;

#[path = "../../../fuzz/bodies/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/bodies/importers.rs"]
mod importers;

#[test]
fn any_file_of_claude_code_is_imported_or_reported() {
    bounded::run("import_claude", 150, |data| importers::import(Agent::Claude, data));
}

#[test]
fn any_file_of_codex_is_imported_or_reported() {
    bounded::run("import_codex", 150, |data| importers::import(Agent::Codex, data));
}

#[test]
fn any_file_of_pi_is_imported_or_reported() {
    bounded::run("import_pi", 150, |data| importers::import(Agent::Pi, data));
}
