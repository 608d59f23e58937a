//! What a disk holds now, what of it is on stable storage, and what a power loss may make of the rest.
//!
//! A file has the bytes that every process sees and the bytes of its last sync; between them stand the writes and
//! truncations since. A folder has the same of its names. A power loss starts from what is stable and lets survive
//! what it pleases of the rest: [`Loss`] says how. The length of a file is settled in the order of the changes, as
//! journals do it; its bytes are settled by sectors, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::file::File;
use super::random::Random;
use crate::disk::FileKind;

/// The number of the folder that everything stands in.
pub(super) const ROOT: u64 = 1;

/// What a power loss does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// All of it is lost.
    Everything,
    /// None of it is lost: what the death of every process alone does.
    Nothing,
    /// What was done until some moment survives, in the whole disk's order; the last write is torn.
    Ordered,
    /// Of each file survive the first changes, the last of them torn; of each folder any subset of the changes.
    Torn,
    /// As [`Torn`](Self::Torn), but the sectors of a file survive each on its own; a lost one holds what it held before,
    /// or zeros where the file has grown.
    Sectors,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Everything, Self::Nothing, Self::Ordered, Self::Torn, Self::Sectors];
}

/// The names in a folder, in the order they were made, so that the same script gives the same list.
pub(super) type Names = Vec<(OsString, u64)>;

/// What one call does to the names of a folder: each is taken away, or stands for a file from then on.
type NameChange = Vec<(OsString, Option<u64>)>;

fn apply_names(names: &mut Names, change: &NameChange) {
    for (name, to) in change {
        names.retain(|(other, node)| other != name && Some(*node) != *to);
        if let Some(node) = to {
            names.push((name.clone(), *node));
        }
    }
}

/// A folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    now: Names,
    stable: Names,
    pending: Vec<(u64, NameChange)>,
}

impl Folder {
    pub(super) fn names(&self) -> &Names {
        &self.now
    }

    fn find(&self, name: &OsStr) -> Option<u64> {
        self.now.iter().find(|(other, _)| other == name).map(|(_, node)| *node)
    }

    pub(super) fn change(&mut self, stamp: u64, change: NameChange) {
        apply_names(&mut self.now, &change);
        self.pending.push((stamp, change));
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.stable = self.now.clone();
    }

    fn survivor(&self, loss: Loss, moment: u64, random: &mut Random) -> Names {
        let percent = random.pick(&[20, 50, 80]);
        let mut names = self.stable.clone();
        for (stamp, change) in &self.pending {
            let survives = match loss {
                Loss::Everything => false,
                Loss::Nothing => true,
                Loss::Ordered => *stamp < moment,
                Loss::Torn | Loss::Sectors => random.chance(percent),
            };
            if survives {
                apply_names(&mut names, change);
            }
        }
        names
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(File),
    Folder(Folder),
}

/// All files and folders of a disk. A copy costs little: what is not changed is shared.
#[derive(Clone, Debug)]
pub(super) struct Image {
    nodes: BTreeMap<u64, Arc<Node>>,
    next: u64,
    stamp: u64,
}

impl Image {
    pub(super) fn new() -> Self {
        let root = Arc::new(Node::Folder(Folder::default()));
        Self { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, stamp: 0 }
    }

    /// The number of the next change.
    pub(super) const fn stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    pub(super) fn kind(&self, node: u64) -> Option<FileKind> {
        self.nodes.get(&node).map(|node| match &**node {
            Node::File(_) => FileKind::File,
            Node::Folder(_) => FileKind::Folder,
        })
    }

    pub(super) fn file(&self, node: u64) -> Option<&File> {
        match self.nodes.get(&node).map(|node| &**node) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn file_mut(&mut self, node: u64) -> Option<&mut File> {
        match self.nodes.get_mut(&node).map(Arc::make_mut) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn folder(&self, node: u64) -> io::Result<&Folder> {
        match self.nodes.get(&node).map(|node| &**node) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn folder_mut(&mut self, node: u64) -> io::Result<&mut Folder> {
        match self.nodes.get_mut(&node).map(Arc::make_mut) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn add(&mut self, node: Node) -> u64 {
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Arc::new(node));
        number
    }

    /// How many names stand for a file.
    pub(super) fn links(&self, node: u64) -> u64 {
        let names = self.nodes.values().filter_map(|node| match &**node {
            Node::Folder(folder) => Some(folder.names()),
            Node::File(_) => None,
        });
        names.flatten().filter(|(_, named)| *named == node).count() as u64
    }

    /// What a path stands for.
    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let mut node = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                node = self.folder(node)?.find(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The folder that a path's last name stands in, and the name.
    pub(super) fn find_parent(&self, path: &Path) -> io::Result<(u64, OsString)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = self.find(parent)?;
        self.folder(parent)?;
        Ok((parent, name.to_owned()))
    }

    /// Every file with its bytes, and every folder with none.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut found = BTreeMap::new();
        self.collect(ROOT, Path::new("/"), &mut found);
        found
    }

    fn collect(&self, node: u64, path: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        match self.nodes.get(&node).map(|node| &**node) {
            Some(Node::File(file)) => _ = found.insert(path.to_owned(), Some(file.bytes().to_vec())),
            Some(Node::Folder(folder)) => {
                found.insert(path.to_owned(), None);
                for (name, node) in &folder.now {
                    self.collect(*node, &path.join(name), found);
                }
            }
            None => {}
        }
    }

    /// What is on the disk after a power loss.
    pub(super) fn crash(&self, loss: Loss, seed: u64) -> Self {
        let mut random = Random::of(seed, 1);
        let stamps: Vec<u64> = self.nodes.values().flat_map(|node| node.stamps()).collect();
        let (first, last) = (stamps.iter().min().copied(), stamps.iter().max().copied());
        let moment = match (first, last) {
            (Some(first), Some(last)) => first + random.number() % (last - first + 2),
            _ => 0,
        };
        let mut nodes = BTreeMap::new();
        for (number, node) in &self.nodes {
            let survivor = match &**node {
                Node::File(file) => {
                    let bytes = file.survivor(loss, moment, &mut random);
                    Node::File(File::of(bytes, file.surviving_bits(loss, &mut random)))
                }
                Node::Folder(folder) => {
                    let now = folder.survivor(loss, moment, &mut random);
                    Node::Folder(Folder { stable: now.clone(), now, pending: Vec::new() })
                }
            };
            nodes.insert(*number, Arc::new(survivor));
        }
        let mut image = Self { nodes, next: self.next, stamp: self.stamp };
        let mut reached = BTreeSet::new();
        image.reach(ROOT, &mut reached);
        image.nodes.retain(|number, _| reached.contains(number));
        image
    }

    fn reach(&self, node: u64, reached: &mut BTreeSet<u64>) {
        reached.insert(node);
        if let Ok(folder) = self.folder(node) {
            for (_, node) in &folder.now {
                self.reach(*node, reached);
            }
        }
    }
}

impl Node {
    fn stamps(&self) -> Vec<u64> {
        match self {
            Self::File(file) => file.stamps().collect(),
            Self::Folder(folder) => folder.pending.iter().map(|(stamp, _)| *stamp).collect(),
        }
    }
}
