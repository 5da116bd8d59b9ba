//! Who comes first where there is more to do than processors to do it.

use std::time::Duration;

use nix::libc;

/// The longest that Linux grants.
const SLICE: Duration = Duration::from_millis(100);

/// Lets other threads go before this one, and before those that it starts from now on. Nineteen is the
/// nicest; a thread that has been made nice stays so. Where any of it is refused, the rest holds.
pub fn stand_back(niceness: libc::c_int) {
    // SAFETY: a system call without memory.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    // Niceness decides how much of a processor one gets, and not when: who wakes still waits for the slice
    // of who runs to end, for some milliseconds. Since 6.12 Linux interrupts at once who has asked for a
    // longer slice, and a batch thread never does that to others.
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_BATCH as u32,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: SLICE.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads as many bytes as `size` says, and keeps no pointer.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    #[test]
    fn who_stands_back_is_as_nice_as_said_and_a_batch_thread_and_others_are_not() {
        /// Niceness and policy of this thread, fields 19 and 41 of proc_pid_stat(5).
        fn own() -> (i32, i32) {
            let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            // The first one after the name is field 3.
            let fields: Vec<&str> = fields.split_whitespace().collect();
            (fields[19 - 3].parse().unwrap(), fields[41 - 3].parse().unwrap())
        }
        let before = own();
        let nice = thread::spawn(|| {
            stand_back(19);
            let started_by_it = thread::spawn(own).join().unwrap();
            (own(), started_by_it)
        });
        let expected = (19, libc::SCHED_BATCH);
        assert_eq!(nice.join().unwrap(), (expected, expected));
        assert_eq!(own(), before);
    }
}
