//! The users of the system. To look one up may block: it may be known to another machine only.

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// How much is told of one user, in bytes: the first try, and the last.
const ROOM: (usize, usize) = (1024, 1024 * 1024);

/// What the system tells of a user.
#[derive(Debug)]
pub(in crate::process) struct Entry {
    #[cfg_attr(
        target_os = "macos",
        expect(dead_code, reason = "nobody asks for more")
    )]
    pub name: CString,
    #[cfg_attr(
        target_os = "macos",
        expect(dead_code, reason = "nobody asks for more")
    )]
    pub user: libc::uid_t,
    #[cfg_attr(
        target_os = "macos",
        expect(dead_code, reason = "nobody asks for more")
    )]
    pub group: libc::gid_t,
    #[cfg_attr(
        target_os = "macos",
        expect(dead_code, reason = "nobody asks for more")
    )]
    pub home: OsString,
    pub shell: OsString,
}

/// `None` if there is no user of that name.
#[cfg(not(target_os = "macos"))]
pub(in crate::process) fn by_name(name: &str) -> io::Result<Option<Entry>> {
    let name = CString::new(name)?;
    look_up(|entry, room, found| {
        // SAFETY: the name ends with NUL, and the answers have the room that is told.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, room.as_mut_ptr(), room.len(), found) }
    })
}

/// `None` if there is no user of that number.
pub(in crate::process) fn by_id(id: libc::uid_t) -> io::Result<Option<Entry>> {
    look_up(|entry, room, found| {
        // SAFETY: the answers have the room that is told.
        unsafe { libc::getpwuid_r(id, entry, room.as_mut_ptr(), room.len(), found) }
    })
}

fn look_up(
    ask: impl Fn(*mut libc::passwd, &mut [c_char], *mut *mut libc::passwd) -> c_int,
) -> io::Result<Option<Entry>> {
    let mut room: Vec<c_char> = vec![0; ROOM.0];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        match ask(entry.as_mut_ptr(), &mut room, &raw mut found) {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: found, so it is filled in.
                let entry = unsafe { entry.assume_init_ref() };
                return Ok(Some(Entry {
                    name: text(entry.pw_name).to_owned(),
                    user: entry.pw_uid,
                    group: entry.pw_gid,
                    home: os_string(entry.pw_dir),
                    shell: os_string(entry.pw_shell),
                }));
            }
            libc::EINTR => {}
            libc::ERANGE if room.len() < ROOM.1 => room.resize(room.len() * 4, 0),
            // What some systems say of a user that is not there.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn os_string(given: *const c_char) -> OsString {
    OsStr::from_bytes(text(given).to_bytes()).to_owned()
}

fn text<'a>(text: *const c_char) -> &'a CStr {
    if text.is_null() {
        return c"";
    }
    // SAFETY: a string of an entry, which lives while it is copied.
    unsafe { CStr::from_ptr(text) }
}
