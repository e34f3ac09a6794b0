//! The stand-in of a bench, in a process of its own: the same program, run again as `serve`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The process. It ends with this one, because its standard input ends then.
pub struct Server {
    process: Child,
    pub base: String,
}

impl Server {
    pub fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stand-in's process");
        let mut base = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut base)
            .unwrap();
        Self {
            process,
            base: base.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
