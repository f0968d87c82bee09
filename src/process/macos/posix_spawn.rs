//! Starting a program on macOS with `posix_spawn`, whose extensions there do all that is needed.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use super::darwin::{SPAWN_FLAGS, STOPPED};
use crate::process::unix::exec_args::ExecArgs;
use crate::process::unix::signal::open_pidfd;

/// Starts a program in a session of its own, with default signal dispositions, an empty signal mask, and no
/// descriptors but the three. Blocks until the child has executed it.
pub(in crate::process) fn start(args: &ExecArgs<'_>) -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    let actions = FileActions::new(args)?;
    let attributes = Attributes::new(if args.stopped {
        SPAWN_FLAGS | STOPPED
    } else {
        SPAWN_FLAGS
    })?;
    let mut pid = 0;
    // SAFETY: the program is NUL-terminated; both lists end with a null pointer and point to strings that
    // live through the call, which does not write to them; actions and attributes are initialized.
    check_code(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            args.program().as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            args.argv().cast(),
            args.envp().cast(),
        )
    })?;
    Ok((pid, open_pidfd(pid).ok()))
}

type AddChdir = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, *const c_char) -> c_int;
type AddFchdir = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, RawFd) -> c_int;

fn add_chdir() -> Option<AddChdir> {
    static ADD_CHDIR: OnceLock<Option<AddChdir>> = OnceLock::new();
    *ADD_CHDIR.get_or_init(|| {
        let found = extension(c"posix_spawn_file_actions_addchdir_np");
        // SAFETY: a symbol of this name has this signature wherever it exists.
        unsafe { std::mem::transmute::<*mut c_void, Option<AddChdir>>(found) }
    })
}

fn add_fchdir() -> Option<AddFchdir> {
    static ADD_FCHDIR: OnceLock<Option<AddFchdir>> = OnceLock::new();
    *ADD_FCHDIR.get_or_init(|| {
        let found = extension(c"posix_spawn_file_actions_addfchdir_np");
        // SAFETY: as above.
        unsafe { std::mem::transmute::<*mut c_void, Option<AddFchdir>>(found) }
    })
}

/// An extension that is looked up and not linked, since only macOS 10.15 and newer have it.
fn extension(name: &CStr) -> *mut c_void {
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new(args: &ExecArgs<'_>) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: `raw` has room for the actions.
        check_code(unsafe { libc::posix_spawn_file_actions_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialized just now.
        let mut actions = Self(unsafe { raw.assume_init() });
        // Before its descriptor is replaced by one of the three. Without the extension the child stays where the host is.
        if let Some(dir) = args.directory()
            && let Some(add) = add_fchdir()
        {
            // SAFETY: the actions are initialized; the call takes a number.
            check_code(unsafe { add(&raw mut actions.0, dir) })?;
        }
        for (target, source) in (0..).zip(args.stdio) {
            actions.connect(target, source)?;
        }
        if let Some(dir) = args.working_dir() {
            let add = add_chdir().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))?;
            // SAFETY: the actions are initialized, `dir` is NUL-terminated and copied by the call.
            check_code(unsafe { add(&raw mut actions.0, dir.as_ptr()) })?;
        }
        Ok(actions)
    }

    fn connect(&mut self, target: RawFd, source: Option<RawFd>) -> io::Result<()> {
        let actions = &raw mut self.0;
        check_code(match source {
            // SAFETY: the actions are initialized.
            Some(source) => unsafe {
                libc::posix_spawn_file_actions_adddup2(actions, source, target)
            },
            // SAFETY: the actions are initialized, the path is NUL-terminated.
            None => unsafe {
                let null = c"/dev/null".as_ptr();
                let flags = if target == 0 {
                    libc::O_RDONLY
                } else {
                    libc::O_WRONLY
                };
                libc::posix_spawn_file_actions_addopen(actions, target, null, flags, 0)
            },
        })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(flags: c_int) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: `raw` has room for the attributes.
        check_code(unsafe { libc::posix_spawnattr_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialized just now.
        let mut attributes = Self(unsafe { raw.assume_init() });
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // A session has no controlling terminal: a prompt fails instead of hanging. It is also a group to
        // signal. Node ignores SIGPIPE; its children must not.
        let flags = spawn_flag(flags)
            | spawn_flag(libc::POSIX_SPAWN_SETSIGDEF)
            | spawn_flag(libc::POSIX_SPAWN_SETSIGMASK);
        // SAFETY: attributes and sets have room and are initialized before they are read.
        unsafe {
            // Not `sigfillset`, which leaves out the two signals of the thread library: the child would
            // inherit them ignored.
            ptr::write_bytes(all.as_mut_ptr(), 0xff, 1);
            libc::sigemptyset(none.as_mut_ptr());
            check_code(libc::posix_spawnattr_setsigdefault(
                &raw mut attributes.0,
                all.as_ptr(),
            ))?;
            check_code(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                none.as_ptr(),
            ))?;
            check_code(libc::posix_spawnattr_setflags(&raw mut attributes.0, flags))?;
        }
        Ok(attributes)
    }
}

fn spawn_flag(flag: c_int) -> libc::c_short {
    libc::c_short::try_from(flag).unwrap_or(0)
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// For calls that return the error instead of setting it.
fn check_code(code: c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}
