//! Progress of a long computation: a bar in a terminal, and a line a minute in a log.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle, TermLike};

use crate::process::tell;

/// Time between two lines of a log.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// The part of a template that is drawn in a terminal only.
const BAR: &str = "{bar:30} ";

/// A bar of so many units.
///
/// Where standard error is no terminal, the template without `{bar:30}` is written as a line every minute.
///
/// # Errors
/// If indicatif does not understand the template.
pub fn progress_bar(length: u64, template: &str) -> Result<ProgressBar> {
    if io::stderr().is_terminal() {
        let style = ProgressStyle::with_template(template)?;
        return Ok(ProgressBar::new(length).with_style(style));
    }
    in_log(length, template, Log::new(LINE_EVERY, |line| tell(line)))
}

/// Shows how far the decoding of so many images is until what it returns is dropped, which takes the number that were decoded since.
pub fn decoding_progress(images: usize) -> Box<dyn Fn(usize) + Send + Sync> {
    let bar = progress_bar(images as u64, "decoding {bar:30} {pos}/{len} left {eta}");
    // The template is a constant that indicatif understands.
    let bar = bar.unwrap_or_else(|_| ProgressBar::hidden());
    let bar = bar.with_finish(ProgressFinish::AndClear);
    Box::new(move |decoded| bar.inc(decoded as u64))
}

fn in_log(length: u64, template: &str, log: Log) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(&template.replace(BAR, ""))?;
    let target = ProgressDrawTarget::term_like(Box::new(log));
    Ok(ProgressBar::with_draw_target(Some(length), target).with_style(style))
}

/// A terminal of lines that are never changed again.
#[derive(Debug)]
struct Log {
    every: Duration,
    write: fn(&str),
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the bar has drawn and not yet shown.
    text: String,
    /// When the last line was written, or the bar began.
    written: Instant,
}

impl Log {
    fn new(every: Duration, write: fn(&str)) -> Self {
        let state = State {
            text: String::new(),
            written: Instant::now(),
        };
        Self {
            every,
            write,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TermLike for Log {
    fn width(&self) -> u16 {
        200
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.state().text.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.state().text.clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        let text = std::mem::take(&mut state.text);
        let line = text.trim();
        if !line.is_empty() && state.written.elapsed() >= self.every {
            state.written = Instant::now();
            (self.write)(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_the_text_of_a_bar_and_not_before_its_time() {
        static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let template = "solving {bar:30} {percent} %  {pos}/{len}";
        let lines = |every| {
            let log = Log::new(every, |line| LINES.lock().unwrap().push(line.to_owned()));
            let bar = in_log(8, template, log).unwrap();
            for _ in 0..8 {
                bar.inc(1);
                std::thread::sleep(Duration::from_millis(60));
            }
            bar.finish_and_clear();
            std::mem::take(&mut *LINES.lock().unwrap())
        };
        let all = lines(Duration::ZERO);
        assert!(all.len() > 2, "{all:?}");
        assert!(all.contains(&"solving 50 %  4/8".to_owned()), "{all:?}");
        assert_eq!(lines(Duration::from_secs(3600)), [""; 0]);
    }
}
