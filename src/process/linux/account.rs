//! The users that a command may run as. To look one up may block.

use std::ffi::{OsStr, OsString, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::process::unix::passwd::{self, Entry};
use crate::process::{Account, AccountIds};

/// How many groups are asked for first, and last: the kernel takes no more.
const GROUPS: (usize, usize) = (64, 65_536);

/// `None` if there is no user of that name.
pub(crate) fn by_name(name: &str) -> io::Result<Option<Account>> {
    passwd::by_name(name)?.map(account).transpose()
}

/// `None` if there is no user of that number.
pub(crate) fn by_id(id: u32) -> io::Result<Option<Account>> {
    passwd::by_id(id)?.map(account).transpose()
}

/// Whether the host is that user already, and nothing is to be changed. The privileged get the groups all the same.
pub(crate) fn is_of_host(account: &Account) -> bool {
    // SAFETY: these take nothing.
    let (users, groups) = unsafe {
        (
            [libc::getuid(), libc::geteuid()],
            [libc::getgid(), libc::getegid()],
        )
    };
    let ids = &account.ids;
    users[1] != 0 && users == [ids.user; 2] && groups == [ids.group; 2]
}

fn account(entry: Entry) -> io::Result<Account> {
    Ok(Account {
        ids: AccountIds {
            user: entry.user,
            group: entry.group,
            groups: groups(&entry)?,
        },
        name: OsString::from(OsStr::from_bytes(entry.name.to_bytes())),
        home: entry.home,
    })
}

fn groups(entry: &Entry) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; GROUPS.0];
    loop {
        let mut count = c_int::try_from(groups.len()).unwrap_or(c_int::MAX);
        // SAFETY: the name ends with NUL, and there is room for that many.
        let all = unsafe {
            libc::getgrouplist(
                entry.name.as_ptr(),
                entry.group,
                groups.as_mut_ptr(),
                &raw mut count,
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        if all >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if groups.len() >= GROUPS.1 {
            return Err(io::Error::other("too many groups"));
        }
        // Not every library tells how many there are.
        groups.resize(count.max(groups.len() * 4).min(GROUPS.1), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_its_groups() {
        let root = by_name("root").expect("an answer").expect("root");
        assert_eq!((root.ids.user, root.ids.group), (0, 0));
        assert!(root.ids.groups.contains(&0), "{root:?}");
        let same = by_id(0).expect("an answer").expect("root");
        assert_eq!((&same.name, &same.home), (&root.name, &root.home));
    }

    #[test]
    fn who_is_not_there_is_not_found() {
        assert!(by_name("no-such-user").expect("an answer").is_none());
        assert!(by_id(u32::MAX - 7).expect("an answer").is_none());
    }
}
