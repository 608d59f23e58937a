//! The repository around a folder, with its worktrees.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the repository that a folder is in: its worktrees, the main one among them. None outside of one.
pub(super) fn repository(folder: &Path) -> Vec<PathBuf> {
    let Some(found) = folder.ancestors().find(|above| above.join(".git").exists()) else { return Vec::new() };
    let Some(git) = git_folder(&found.join(".git")) else { return vec![found.to_owned()] };
    let mut folders = vec![found.to_owned()];
    if git.file_name().is_some_and(|name| name == ".git") {
        folders.extend(git.parent().map(Path::to_owned));
    }
    for entry in fs::read_dir(git.join("worktrees")).into_iter().flatten().flatten() {
        let linked = fs::read_to_string(entry.path().join("gitdir")).unwrap_or_default();
        folders.extend(Path::new(linked.trim()).parent().filter(|path| path.is_absolute()).map(Path::to_owned));
    }
    folders.sort();
    folders.dedup();
    folders
}

/// The folder that all worktrees share: `.git` itself, or where the file `.git` of a worktree leads.
fn git_folder(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let text = fs::read_to_string(git).ok()?;
    let linked = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    // …/.git/worktrees/NAME; a submodule's is …/.git/modules/NAME, which shares nothing.
    let worktrees = linked.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "worktrees"))?;
    worktrees.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worktrees_of_a_repository_belong_together_from_each_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let (main, other) = (folder.path().join("main"), folder.path().join("other"));
        fs::create_dir_all(main.join(".git/worktrees/other")).unwrap();
        fs::create_dir_all(main.join("src/deep")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(main.join(".git/worktrees/other/gitdir"), format!("{}/.git\n", other.display())).unwrap();
        fs::write(other.join(".git"), format!("gitdir: {}/.git/worktrees/other\n", main.display())).unwrap();
        for from in [&main, &main.join("src/deep"), &other] {
            assert_eq!(repository(from), [main.clone(), other.clone()], "{}", from.display());
        }
    }

    #[test]
    fn a_submodule_is_a_repository_of_its_own_and_elsewhere_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("main/module");
        fs::create_dir_all(folder.path().join("main/.git/modules/module")).unwrap();
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join(".git"), "gitdir: ../.git/modules/module\n").unwrap();
        assert_eq!(repository(&module), std::slice::from_ref(&module));
        assert_eq!(repository(&folder.path().join("nowhere")), Vec::<PathBuf>::new());
    }
}
