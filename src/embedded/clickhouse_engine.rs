//! The process that is ClickHouse: the hidden subcommand `ricochet clickhouse-engine`.
//!
//! `libchdb.so` holds a whole ClickHouse. Its C function `chdb_query_cmdline(argc, argv)` runs
//! the local server program with a command line, and there `SYSTEM START LISTEN HTTP` opens the
//! real HTTP interface. The statement after it reads a pipe that stays silent, so the server
//! runs until the pipe's other end is closed, and then shuts down in order. One start a
//! process is all the library allows, and it brings its own signal handling and allocator;
//! hence a process of its own.

use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::setsid;

use crate::priority::stand_back;

pub const CLICKHOUSE_ENGINE_COMMAND: &str = "clickhouse-engine";

/// Nineteen is the nicest.
const NICENESS: c_int = 10;

type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Runs ClickHouse until standard input ends or SIGTERM, SIGINT or SIGHUP comes.
///
/// `arguments` are the path of `libchdb.so` and the path of the configuration file. Call it
/// before any thread exists: threads that do not block these signals would be killed by them.
pub fn clickhouse_engine_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match serve(arguments.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Vec<OsString>) -> Result<()> {
    let [library, config] = <[OsString; 2]>::try_from(arguments)
        .map_err(|_| anyhow::anyhow!("usage: ricochet {CLICKHOUSE_ENGINE_COMMAND} LIBCHDB CONFIG"))?;
    let_others_go_first();
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    signals.thread_block().context("block the stop signals")?;

    let (silence, writer) = io::pipe().context("make a pipe")?;
    let (stop, stopped) = mpsc::channel();
    spawn("stop", move || {
        let _ = stopped.recv();
        drop(writer);
    })?;
    let stop_on_signal = stop.clone();
    spawn("signals", move || {
        let _ = signals.wait();
        let _ = stop_on_signal.send(());
    })?;
    spawn("stdin", move || {
        // Whatever is sent, only the end counts: the parent stopped us, or died.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = stop.send(());
    })?;

    let statements = format!(
        "SYSTEM START LISTEN HTTP; SELECT * FROM file('/proc/self/fd/{}', 'LineAsString') FORMAT Null",
        silence.as_raw_fd()
    );
    run_local_server(library, config, statements)
}

/// Answers to advertisers come first: what the log does in bursts of both cores can wait.
fn let_others_go_first() {
    stand_back(NICENESS);
    // Linux may weigh sessions against each other, and only within one its processes. Each process of
    // PostgreSQL has a session of its own; where this one shared ours, no niceness would count between them.
    // And Ctrl-C in the terminal is for ricochet alone, which then stops this.
    let _ = setsid();
    let _ = fs::write("/proc/self/autogroup", NICENESS.to_string());
}

fn run_local_server(library: OsString, config: OsString, statements: String) -> Result<()> {
    // SAFETY: loading runs the library's initialisers, which is what it is for. RTLD_LOCAL
    // keeps its allocator and C++ runtime to itself.
    let library = unsafe { Library::open(Some(&library), RTLD_NOW | RTLD_LOCAL) }
        .with_context(|| format!("load {}", library.display()))?;
    let mut arguments = [
        OsString::from("clickhouse"),
        OsString::from("--config-file"),
        config,
        OsString::from("--query"),
        OsString::from(statements),
    ]
    .map(|argument| CString::new(argument.into_vec()).map(CString::into_raw))
    .into_iter()
    .collect::<std::result::Result<Vec<*mut c_char>, _>>()
    .context("an argument holds a zero byte")?;

    // SAFETY: the two signatures are those of chdb.h; the arguments are zero-terminated
    // strings that are never freed, as the arguments of a program are.
    let error = unsafe {
        let query_cmdline = library.get::<QueryCmdline>(c"chdb_query_cmdline")?;
        let result_error = library.get::<ResultError>(c"chdb_result_error")?;
        let result = query_cmdline(c_int::try_from(arguments.len())?, arguments.as_mut_ptr());
        if result.is_null() { std::ptr::null() } else { result_error(result) }
    };
    // Unloading it while its threads may still run would be a crash at the very end.
    std::mem::forget(library);
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and a zero-terminated string of the result, which is never destroyed.
    bail!("{}", unsafe { std::ffi::CStr::from_ptr(error) }.to_string_lossy());
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(body).with_context(|| format!("start the thread `{name}`"))?;
    Ok(())
}
