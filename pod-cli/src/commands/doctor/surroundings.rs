//! What surrounds a store: the medium, its space, permissions, and the agents whose conversations it is for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::process::geteuid;
use session_store::is_remote;
use store_core::BackendInfo;

use super::Verdict;
use crate::agents::folders;
use crate::app::App;
use crate::render::thousands;

/// Below this a single conversation may not fit any more.
const SPACE_PROBLEM_BYTES: u64 = 64 << 20;
/// Below this it is time to make room.
const SPACE_WARNING_BYTES: u64 = 1 << 30;

/// What is to be said of the place where a store stands; nothing of one that stands nowhere.
pub(super) fn of_place(info: &BackendInfo) -> Vec<Verdict> {
    if info.location.is_empty() {
        return Vec::new();
    }
    let place = PathBuf::from(&info.location);
    let folder = if place.is_dir() { place.clone() } else { place.parent().map_or_else(PathBuf::new, Path::to_owned) };
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    let mut verdicts = vec![filesystem(&folder), space(&folder)];
    verdicts.push(permissions(&place));
    verdicts
}

fn filesystem(folder: &Path) -> Verdict {
    let check = "filesystem";
    match is_remote(folder) {
        Some(false) => Verdict::ok(check, "local: locks and syncs do what they say"),
        Some(true) => Verdict::warning(
            check,
            "remote or in user space: locks and syncs may not do what they say",
            "keep the store on a local disk; `pod migrate` copies it there",
        ),
        None => Verdict::warning(
            check,
            "it cannot be told which one it is",
            "locks and syncs are trusted to do what they say",
        ),
    }
}

fn space(folder: &Path) -> Verdict {
    let check = "space";
    let free = match statvfs(folder) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return Verdict::warning(check, format!("it cannot be told how much is free: {error}"), "look with df");
        }
    };
    let detail = format!("{} bytes free", thousands(free));
    let hint = "make room: `pod gc` removes what nothing refers to";
    match free {
        0..SPACE_PROBLEM_BYTES => Verdict::problem(check, detail, Some(hint)),
        SPACE_PROBLEM_BYTES..SPACE_WARNING_BYTES => Verdict::warning(check, detail, hint),
        _ => Verdict::ok(check, detail),
    }
}

fn permissions(place: &Path) -> Verdict {
    let check = "permissions";
    let found = match fs::metadata(place) {
        Ok(found) => found,
        Err(error) => return Verdict::problem(check, format!("{}: {error}", place.display()), None),
    };
    let mode = found.mode() & 0o7777;
    let usual = if found.is_dir() { 0o700 } else { 0o600 };
    if mode & 0o077 != 0 {
        let detail = format!("others may use it: mode {mode:o}");
        return Verdict::problem(check, detail, Some(&format!("chmod {usual:o} {}", place.display())));
    }
    if found.uid() != geteuid().as_raw() {
        let detail = format!("it belongs to user {}, not to you", found.uid());
        return Verdict::warning(check, detail, "what one user writes the other may not be able to read");
    }
    Verdict::ok(check, format!("its owner's alone: mode {mode:o}"))
}

/// The agents that keep conversations on this machine.
pub(super) fn agents(app: &App) -> Vec<Verdict> {
    let check = "agents";
    let known = match app.agents() {
        Ok(known) => known,
        Err(error) => {
            let report = error.report();
            return vec![Verdict::problem(check, report.message, report.hint.as_deref())];
        }
    };
    let all = known.iter().filter(|agent| agent.enabled).flat_map(|agent| folders(agent, &app.environment));
    let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) = all.partition(|folder| folder.is_dir());
    if there.is_empty() {
        let looked: Vec<String> = missing.iter().map(|folder| short(app, folder)).collect();
        let detail = format!("none found; looked for {}", looked.join(", "));
        return vec![Verdict::warning(check, detail, "`pod import PATH` brings in conversations from anywhere")];
    }
    there.iter().map(|folder| agent(app, folder)).collect()
}

fn agent(app: &App, folder: &Path) -> Verdict {
    let check = "agents";
    match fs::read_dir(folder) {
        Ok(_) => Verdict::ok(check, format!("{}: `pod import` brings in what is there", short(app, folder))),
        Err(error) => {
            let hint = "pod reads these folders, and never writes to them";
            Verdict::warning(check, format!("{}: {error}", short(app, folder)), hint)
        }
    }
}

fn short(app: &App, folder: &Path) -> String {
    app.short_path(&folder.display().to_string())
}
