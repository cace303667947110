//! Trial of one reader: a process of its own, damaged inputs one after the other, and what must hold for each.
//!
//! The process that the test runs in only watches. A reader that hangs, aborts or overflows its stack ends the other process; a new one
//! goes on with the next input, so that one run finds all that is to be found.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{allocation, place};

/// Damaged inputs that every reader gets.
const CASES: u64 = 10_000;
/// Seed of the damage.
const SEED: u64 = 19;
/// Processor time for one input, and time of the clock without any.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time of the clock for one input of a process that looks again and again, on a machine that has other things to do.
const WAIT: Duration = Duration::from_secs(300);
/// Processes that may end early before the trial is given up.
const DEATHS: usize = 20;
/// Inputs that may hang before the trial is given up.
const HANGS: usize = 3;
/// What is said of an input that is read although it makes no sense.
const BELIEVED: &str = "is believed";
/// What is said of an input that hangs.
const HANGING: &str = "is not read in";
/// Failures alike that are reported.
const EXAMPLES: usize = 4;
/// Characters of an error's message.
const LONGEST: usize = 2_000;

/// Names the reader's folder to the process that tries it.
const FOLDER: &str = "MUTATIONS_FOLDER";
/// Names the first input of that process.
const FIRST: &str = "MUTATIONS_FIRST";
/// Names a file whose bytes are the only input: a failure is run again.
const REPLAY: &str = "MUTATIONS_INPUT";
/// Replaces [`CASES`].
const COUNT: &str = "MUTATIONS_CASES";
/// Replaces [`SEED`].
const OTHER_SEED: &str = "MUTATIONS_SEED";

/// What a reader makes of an input.
pub enum Answer {
    /// It is read, and what was read is sound.
    Read,
    /// It is refused, in these words.
    Refused(String),
    /// It is read although it makes no sense: why.
    Nonsense(String),
}

/// Something that reads what users have.
pub trait Reader {
    /// Inputs that are read; damaged ones are made from them.
    fn valid(&self) -> &[Vec<u8>];

    /// A damaged input.
    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8>;

    /// Reads an input and looks at what was read.
    fn read(&mut self, input: &[u8]) -> Answer;
}

/// Tries a reader that is made in an empty folder; `name` is the test's.
pub fn run<R: Reader>(name: &str, new: impl FnOnce(&Path) -> R) {
    match std::env::var_os(FOLDER) {
        Some(folder) => try_inputs(name, Path::new(&folder), new),
        None => watch(name),
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(usual, |v| v.parse().expect(variable))
}

/// Something wrong with an input.
#[derive(Clone)]
struct Failure {
    case: String,
    what: String,
}

/// Runs the other process until all inputs are through, and reports.
fn watch(name: &str) {
    let replayed = std::env::var_os(REPLAY).map(PathBuf::from);
    if replayed.as_ref().is_some_and(|path| !is_of(name, path)) {
        return;
    }
    let folder = memory_folder();
    let folder = folder.path();
    let (started, mut first) = (Instant::now(), 0);
    let mut deaths: Vec<Failure> = Vec::new();
    let hangs = |deaths: &[Failure]| {
        deaths
            .iter()
            .filter(|d| d.what.starts_with(HANGING))
            .count()
    };
    while deaths.len() < DEATHS && hangs(&deaths) < HANGS {
        let Some(what) = watch_once(name, folder, first) else {
            break;
        };
        let case = std::fs::read_to_string(folder.join("case")).unwrap_or_default();
        let next: Option<u64> = case.parse().ok();
        deaths.push(keep(name, folder, case, what));
        let Some(next) = next else {
            break; // It did not come to the first input.
        };
        first = next + 1;
    }
    let mut failures = deaths;
    let log = std::fs::read_to_string(folder.join("failures")).unwrap_or_default();
    failures.extend(log.lines().map(|line| {
        let value: Value = serde_json::from_str(line).expect("a line that the other process wrote");
        let text = |key: &str| value[key].as_str().expect("a text").to_owned();
        Failure {
            case: text("case"),
            what: text("what"),
        }
    }));
    let seconds = started.elapsed().as_secs_f64();
    println!("{name}: {} inputs in {seconds:.1} s", number(COUNT, CASES));
    assert!(failures.is_empty(), "{}", report(name, &failures));
}

/// The failures, those alike together.
fn report(name: &str, failures: &[Failure]) -> String {
    let mut kinds: BTreeMap<String, Vec<&Failure>> = BTreeMap::new();
    for failure in failures {
        kinds.entry(kind(&failure.what)).or_default().push(failure);
    }
    let mut lines = vec![format!(
        "{name}: {} of {} inputs of seed {} fail in {} ways; run one again with {REPLAY}=FILE",
        failures.len(),
        number(COUNT, CASES),
        number(OTHER_SEED, SEED),
        kinds.len()
    )];
    for alike in kinds.values() {
        lines.push(format!("  {} times, such as", alike.len()));
        for Failure { case, what } in alike.iter().take(EXAMPLES) {
            lines.push(format!("    {what}\n      {}", kept(name, case).display()));
        }
    }
    lines.join("\n")
}

/// What failures alike have in common: all before a message or a detail, without numbers.
fn kind(what: &str) -> String {
    let parts = if what.starts_with(BELIEVED) { 2 } else { 1 };
    let start: Vec<&str> = what.split(": ").take(parts).collect();
    start.concat().replace(|c: char| c.is_ascii_digit(), "")
}

/// Runs the other process from an input on; what ended it early, if something did.
fn watch_once(name: &str, folder: &Path, first: u64) -> Option<String> {
    let output = |file: &str| File::create(folder.join(file)).expect("the folder is ours");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .env("RUST_BACKTRACE", "0")
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .expect("this test starts");
    let mut last = String::new();
    let (mut since, mut used) = (Instant::now(), Duration::ZERO);
    let (mut moved, mut latest) = (since, used);
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return (!status.success()).then(|| ended(folder, status));
        }
        let case = std::fs::read_to_string(folder.join("case")).unwrap_or_default();
        let time = processor_time(child.id()).unwrap_or_default();
        if case != last {
            (since, used, last) = (Instant::now(), time, case);
            moved = since;
        }
        if time != latest {
            (moved, latest) = (Instant::now(), time);
        }
        let limits = [
            (time.saturating_sub(used), PATIENCE),
            (moved.elapsed(), PATIENCE),
            (since.elapsed(), WAIT),
        ];
        if let Some((_, limit)) = limits.into_iter().find(|(time, limit)| time > limit) {
            child.kill().expect("the process can be ended");
            child.wait().expect("the process can be waited for");
            return Some(format!("{HANGING} {} s", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processor time of a process so far, where the system says it in `/proc`: fields 14 and 15 of `stat`, in hundredths of a second.
fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // A name in parentheses, which may hold anything, is field 2.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

fn ended(folder: &Path, status: ExitStatus) -> String {
    let said = ["stderr", "stdout"].map(|file| {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    });
    let words = said.iter().find(|words| !words.is_empty());
    let last = words
        .and_then(|words| words.lines().last())
        .unwrap_or("without a word");
    format!("ends the process ({status}): {last}")
}

/// Tries all inputs from the first of this process on.
fn try_inputs<R: Reader>(name: &str, folder: &Path, new: impl FnOnce(&Path) -> R) {
    allocation::limit();
    let home = folder.join("home");
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir(&home).expect("the folder is ours");
    std::env::set_current_dir(&home).expect("it is there");
    let _ = std::fs::remove_file(folder.join("case"));
    let mut reader = new(&home);
    for (i, input) in reader.valid().to_vec().iter().enumerate() {
        match reader.read(input) {
            Answer::Read => {}
            Answer::Refused(why) | Answer::Nonsense(why) => {
                panic!("valid input {i} is not read: {why}")
            }
        }
    }
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("without words");
        let at = info.location().map(ToString::to_string);
        let mut at = at.unwrap_or_default();
        if !at.starts_with("crates/") {
            at = format!("{at} under {}", place::running());
        }
        let what = format!("panics at {at}: {text}");
        eprintln!("{what}");
        let mut panics = PANICS.lock().unwrap_or_else(|poison| poison.into_inner());
        panics.push(what);
    }));
    let attempt = |reader: &mut R, case: &str, input: &[u8]| {
        std::fs::write(folder.join("input"), input).expect("the folder is ours");
        std::fs::write(folder.join("case"), case).expect("the folder is ours");
        allocation::start();
        let answer = catch_unwind(AssertUnwindSafe(|| reader.read(input)));
        let peak = allocation::peak();
        let panic = {
            let mut panics = PANICS.lock().unwrap_or_else(|poison| poison.into_inner());
            std::mem::take(&mut *panics).into_iter().next()
        };
        let wrong = match answer {
            _ if panic.is_some() => panic,
            _ if peak > allocation::ALLOWED => Some(format!("holds {} MiB", peak >> 20)),
            Ok(Answer::Nonsense(why)) => Some(format!("{BELIEVED}: {why}")),
            Ok(Answer::Refused(message)) => unclear(&message),
            _ => None,
        };
        if let Some(what) = wrong {
            let failure = keep(name, folder, case.to_owned(), what);
            let line = json!({ "case": failure.case, "what": failure.what });
            append(&folder.join("failures"), &line.to_string());
        }
    };
    if let Some(path) = std::env::var_os(REPLAY) {
        let input = std::fs::read(path).expect(REPLAY);
        attempt(&mut reader, "again", &input);
        return;
    }
    let seed = number(OTHER_SEED, SEED);
    for case in number(FIRST, 0)..number(COUNT, CASES) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(case);
        let input = reader.damage(&mut rng);
        attempt(&mut reader, &case.to_string(), &input);
    }
}

/// What is wrong with a message.
fn unclear(message: &str) -> Option<String> {
    let wrong = if message.trim().is_empty() {
        "is refused without a word"
    } else if message.contains(['\n', '\r']) {
        "is refused in more than one line"
    } else if message.chars().count() >= LONGEST {
        "is refused at length"
    } else {
        return None;
    };
    let start: String = message.chars().take(200).collect();
    Some(format!("{wrong}: {start:?}"))
}

/// Keeps the input that is being read, for whoever looks into it.
fn keep(name: &str, folder: &Path, case: String, what: String) -> Failure {
    let file = kept(name, &case);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).expect("a folder for failures");
    }
    // Nothing is kept of a process that did not come to its first input.
    let _ = std::fs::copy(folder.join("input"), file);
    Failure { case, what }
}

fn kept(name: &str, case: &str) -> PathBuf {
    let folder = std::env::temp_dir().join("mutations");
    folder.join(format!("{name}-{case}"))
}

fn is_of(name: &str, path: &Path) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let reader = file.rsplit_once('-').map(|(reader, _)| reader);
    reader == Some(name)
}

fn append(path: &Path, line: &str) {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}"))
        .expect("the folder is ours");
}

/// A folder in memory where there is one: inputs are written ten thousand times.
fn memory_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for inputs")
}
