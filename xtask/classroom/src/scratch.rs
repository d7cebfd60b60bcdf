//! The one temporary folder of this process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use xtask::Failure;

static FOLDER: Mutex<Option<TempDir>> = Mutex::new(None);

/// Its path; it is made when it is first asked for.
///
/// # Errors
/// It cannot be made.
pub fn folder() -> Result<PathBuf, Failure> {
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*folder {
        return Ok(folder.path().to_owned());
    }
    let made = tempfile::Builder::new().prefix("exercise-").tempdir();
    let made = made.map_err(Failure::file("make a temporary folder"))?;
    Ok(folder.insert(made).path().to_owned())
}

/// The path of one that every user may enter.
///
/// # Errors
/// It cannot be made, or there is another one.
pub fn open_folder() -> Result<PathBuf, Failure> {
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.is_some() {
        return Err(Failure::Broken("a second temporary folder".to_owned()));
    }
    let made = netcheck::open_folder().map_err(Failure::file("make a temporary folder"))?;
    Ok(folder.insert(made).path().to_owned())
}

/// Removes it: at the end, and when this process is interrupted.
pub fn remove() {
    // A static is not dropped.
    drop(FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take());
}
