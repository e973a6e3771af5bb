//! The hub's cache on disk, laid out as the hub's own tools do it, so that each finds what the other
//! fetched:
//!
//! ```text
//! datasets--ORG--NAME/blobs/ETAG                  the bytes; ETAG.incomplete while they come
//! datasets--ORG--NAME/refs/REVISION               the commit that a branch or tag was last seen at
//! datasets--ORG--NAME/snapshots/COMMIT/PATH       a relative link to the blob
//! .locks/datasets--ORG--NAME/ETAG.lock            held (flock) while a blob is fetched
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fetched, HubError, HubFile};

/// Time between two looks at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The part of the cache that belongs to one repository.
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// That of a repository `organisation/name` below the cache's root.
    pub(super) fn of(root: &Path, repo: &str) -> Self {
        let name = format!("datasets--{}", repo.replace('/', "--"));
        Self { folder: root.join(&name), locks: root.join(".locks").join(name) }
    }

    /// The file, if it is here.
    pub(super) fn find(&self, file: &HubFile<'_>) -> Option<Fetched> {
        let commit = if is_commit(file.revision) {
            file.revision.to_owned()
        } else {
            self.commit_of(file.revision)?
        };
        let path = self.snapshot(&commit, file.path);
        path.is_file().then_some(Fetched { path, commit })
    }

    fn commit_of(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Where a file of a commit is.
    pub(super) fn snapshot(&self, commit: &str, path: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(path)
    }

    /// Where bytes are.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where bytes are while they come.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Makes the folder of blobs.
    pub(super) fn prepare(&self) -> Result<(), HubError> {
        make_folder(&self.folder.join("blobs"))
    }

    /// Notes which commit a revision is.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        make_folder(path.parent().unwrap_or(&self.folder))?;
        // Renamed into place, so that no reader meets half a commit.
        let mut new = path.clone().into_os_string();
        new.push(format!(".{}.tmp", std::process::id()));
        let new = PathBuf::from(new);
        fs::write(&new, commit).map_err(HubError::cache("write", &new))?;
        fs::rename(&new, &path).map_err(HubError::cache("write", &path))
    }

    /// Makes a commit's file refer to its blob.
    pub(super) fn link(&self, etag: &str, commit: &str, path: &str) -> Result<PathBuf, HubError> {
        let link = self.snapshot(commit, path);
        if link.is_file() {
            return Ok(link);
        }
        make_folder(link.parent().unwrap_or(&self.folder))?;
        // A link that leads nowhere is as good as none.
        if link.is_symlink() {
            fs::remove_file(&link).map_err(HubError::cache("write", &link))?;
        }
        let up = "../".repeat(1 + path.split('/').count());
        match symlink(format!("{up}blobs/{etag}"), &link) {
            // Another process was as quick.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && link.is_file() => {
                Ok(link)
            }
            made => made.map(|()| link.clone()).map_err(HubError::cache("write", &link)),
        }
    }

    /// The lock of a blob, freed when the file is dropped. While another process holds it, `waiting` is
    /// called once, and then it is waited for.
    pub(super) async fn lock(&self, etag: &str, waiting: impl FnOnce()) -> Result<File, HubError> {
        make_folder(&self.locks)?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            // As the hub's tools: others who share the cache can wait for it.
            .mode(0o664)
            .open(&path)
            .map_err(HubError::cache("write", &path))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    tokio::time::sleep(LOCK_POLL).await;
                }
                // A filesystem without locks: at worst a file is fetched twice.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(HubError::cache("lock", &path)(error));
                }
            }
        }
    }
}

fn make_folder(path: &Path) -> Result<(), HubError> {
    fs::create_dir_all(path).map_err(HubError::cache("write", path))
}

/// Whether a revision is a whole commit, which never changes.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a revision can be the name of a branch or tag, and stays below the folder of references.
pub(super) fn is_revision(revision: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    revision.len() <= 255
        && revision.split('/').all(is_plain)
        && revision.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// A header's etag as a file's name: without its quotes and its mark of weakness.
pub(super) fn etag_name(header: &str) -> Option<String> {
    let name = header.trim().trim_start_matches("W/").trim_matches('"');
    let is_name = !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const FILE: HubFile<'_> = HubFile { repo: "org/name", path: "data/x.csv", revision: "main" };

    #[test]
    fn what_is_linked_and_remembered_is_found_by_branch_and_commit() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of(root.path(), FILE.repo);
        assert!(cache.find(&FILE).is_none());
        cache.prepare().unwrap();
        fs::write(cache.blob("etag"), "x").unwrap();
        for _ in 0..2 {
            cache.link("etag", COMMIT, FILE.path).unwrap();
            cache.remember("main", COMMIT).unwrap();
        }
        let found = cache.find(&FILE).unwrap();
        assert_eq!(fs::read_to_string(&found.path).unwrap(), "x");
        assert_eq!(found.commit, COMMIT);
        let link = fs::read_link(&found.path).unwrap();
        assert_eq!(link, Path::new("../../../blobs/etag"));
        assert!(cache.find(&HubFile { revision: COMMIT, ..FILE }).is_some());
        assert!(cache.find(&HubFile { revision: "other", ..FILE }).is_none());
        let names = root.path().join("datasets--org--name");
        assert_eq!(fs::read_to_string(names.join("refs/main")).unwrap(), COMMIT);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of(root.path(), FILE.repo);
        cache.prepare().unwrap();
        cache.link("gone", COMMIT, "x.csv").unwrap();
        fs::write(cache.blob("there"), "x").unwrap();
        let link = cache.link("there", COMMIT, "x.csv").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../blobs/there"));
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        for revision in ["main", "refs/pr/1", "v1.0", "refs/convert/parquet", COMMIT] {
            assert!(is_revision(revision), "{revision}");
        }
        for revision in ["", "..", "a/../b", "/etc", "a/", ".x", "a b", "a\\b", "a\n", "\u{e4}"] {
            assert!(!is_revision(revision), "{revision}");
        }
        assert_eq!(etag_name("\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(etag_name("W/\"abc\"").as_deref(), Some("abc"));
        for header in ["", "\"\"", "\"../x\"", "\"a/b\"", "\".x\"", "\"a b\"", &"x".repeat(129)] {
            assert_eq!(etag_name(header), None, "{header}");
        }
        assert!(
            !is_commit("main") && !is_commit(&COMMIT[1..]) && !is_commit(&COMMIT.to_uppercase())
        );
    }

    #[tokio::test]
    async fn a_lock_is_waited_for_and_the_wait_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::of(root.path(), FILE.repo);
        let held = cache.lock("etag", || panic!("nobody holds it")).await.unwrap();
        let told = AtomicUsize::new(0);
        let second = cache.lock("etag", || {
            told.fetch_add(1, Ordering::SeqCst);
        });
        tokio::pin!(second);
        let soon = tokio::time::timeout(LOCK_POLL * 3, &mut second).await;
        assert!(soon.is_err() && told.load(Ordering::SeqCst) == 1);
        drop(held);
        assert!(second.await.is_ok());
    }
}
