//! Being told of the end of a process, without a thread for each and without asking again and again.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;

use tokio::sync::oneshot;
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEINWAITTHREAD,
    WT_EXECUTEONLYONCE,
};

use super::check;

type Sender = Option<oneshot::Sender<()>>;

/// A wait of the system's thread pool for the end of a process.
#[derive(Debug)]
pub(super) struct ExitWait {
    wait: HANDLE,
    /// Belongs to the callback, until the wait is given up.
    sender: *mut Sender,
    receiver: Option<oneshot::Receiver<()>>,
    /// Must be open as long as the wait is.
    _process: OwnedHandle,
}

// SAFETY: a wait may be given up on any thread, and nothing but the callback touches the sender before that.
unsafe impl Send for ExitWait {}
// SAFETY: a shared reference allows nothing at all.
unsafe impl Sync for ExitWait {}

impl ExitWait {
    pub fn new(process: OwnedHandle) -> io::Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let sender: *mut Sender = Box::into_raw(Box::new(Some(sender)));
        let mut wait = ptr::null_mut();
        // SAFETY: the process and the sender outlive the wait, which `drop` gives up before both.
        let registered = check(unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                process.as_raw_handle(),
                Some(ended),
                sender.cast(),
                INFINITE,
                WT_EXECUTEINWAITTHREAD | WT_EXECUTEONLYONCE,
            )
        });
        if let Err(error) = registered {
            // SAFETY: made by a box above, and there is no callback to use it.
            drop(unsafe { Box::from_raw(sender) });
            return Err(error);
        }
        Ok(Self {
            wait,
            sender,
            receiver: Some(receiver),
            _process: process,
        })
    }

    /// Resolves when the process has ended.
    pub async fn done(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The sender is there as long as this is.
            let _ = receiver.await;
            self.receiver = None;
        }
    }
}

unsafe extern "system" fn ended(sender: *mut c_void, _timed_out: bool) {
    // SAFETY: the sender of `new`, which only this callback uses, once.
    let sender = unsafe { &mut *sender.cast::<Sender>() };
    if let Some(sender) = sender.take() {
        let _ = sender.send(());
    }
}

impl Drop for ExitWait {
    fn drop(&mut self) {
        // SAFETY: the wait is registered; the call returns once the callback has returned or never will be called.
        unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) };
        // SAFETY: made by a box in `new`; the callback does not use it any more.
        drop(unsafe { Box::from_raw(self.sender) });
    }
}
