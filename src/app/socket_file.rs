//! A listening socket in the file system: made beside nobody else's, removed with the listener.
//!
//! What an earlier process left behind is removed when nobody answers there. Not here: the
//! operator's socket (`admin::socket`), which belongs to whoever has the data directory.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// A socket that listens at its path until it is dropped.
#[derive(Debug)]
pub struct SocketFile {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and number of what we made.
    made: (u64, u64),
}

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The socket's mode.
    pub mode: u32,
    /// Its group, if it is not the server's.
    pub group: Option<u32>,
}

impl SocketFile {
    /// Listens at `path`.
    ///
    /// # Errors
    /// `AddrInUse` when somebody answers there, `AlreadyExists` when something else is there.
    pub fn bind(path: &Path, access: Access) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        let made = identity(&fs::symlink_metadata(path)?);
        let socket = Self {
            listener,
            path: path.to_owned(),
            made,
        };
        if access.group.is_some() {
            chown(path, None, access.group)?;
        }
        // Until here only the server's user may connect, or whom its umask lets.
        fs::set_permissions(path, Permissions::from_mode(access.mode))?;
        Ok(socket)
    }
}

impl Drop for SocketFile {
    /// Another server may have taken the path.
    fn drop(&mut self) {
        let ours = |facts: &Metadata| identity(facts) == self.made;
        if fs::symlink_metadata(&self.path).is_ok_and(|facts| ours(&facts)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(facts) if !facts.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Access = Access {
        mode: 0o660,
        group: None,
    };

    #[tokio::test]
    async fn a_stale_socket_makes_room_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lmtp");
        let first = SocketFile::bind(&path, OPEN).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
        let taken = SocketFile::bind(&path, OPEN).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "removed with the listener");
        // As after a crash: the file stays, and nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let second = SocketFile::bind(&path, OPEN).unwrap();
        // Whoever took the path meanwhile keeps it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "x").unwrap();
        drop(second);
        assert!(path.exists());
        let file = SocketFile::bind(&path, OPEN).unwrap_err();
        assert_eq!(file.kind(), io::ErrorKind::AlreadyExists);
        let nowhere = SocketFile::bind(&dir.path().join("no/lmtp"), OPEN).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
