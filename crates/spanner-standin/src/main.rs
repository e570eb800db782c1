//! The stand-in as a program: a null sink for benchmarks, or a checking and faulty way to the
//! emulator.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use spanferry_spanner_standin::{Check, Mode, Options, StandIn, parse_rates};

const USAGE: &str = "usage: spanferry-spanner-standin --listen HOST:PORT --mode null|keep|forward [--upstream HOST:PORT] \
                     [--check full|fast] [--faults SPEC] [--seed N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let line = format!("spanferry-spanner-standin: {message}\n{USAGE}\n");
            drop(std::io::stderr().write_all(line.as_bytes()));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let options = options(std::env::args().skip(1))?;
    let stand_in = StandIn::start(options).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", stand_in.address())
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())?;
    loop {
        std::thread::park();
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut listen, mut mode, mut upstream) = (None, None, None);
    let mut options = Options::new(Mode::Null);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = || format!("{name} cannot be `{value}`");
        match name.as_str() {
            "--listen" => listen = Some(value.parse::<SocketAddr>().map_err(|_| wrong())?),
            "--mode" => mode = Some(value),
            "--upstream" => upstream = Some(value),
            "--seed" => options.seed = value.parse().map_err(|_| wrong())?,
            "--faults" => options.rates = parse_rates(&value).map_err(|error| error.to_string())?,
            "--check" if value == "full" => options.check = Check::Full,
            "--check" if value == "fast" => options.check = Check::Fast,
            "--check" => return Err(wrong()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    options.listen = listen.ok_or("--listen is missing")?;
    options.mode = match (mode.as_deref(), upstream) {
        (Some("null"), None) => Mode::Null,
        (Some("keep"), None) => Mode::Keep,
        (Some("forward"), Some(upstream)) => Mode::Forward(upstream),
        (Some("forward"), None) => return Err("--mode forward needs --upstream".to_owned()),
        (Some("null" | "keep"), Some(_)) => return Err("--upstream is for --mode forward".to_owned()),
        (Some(other), _) => return Err(format!("--mode cannot be `{other}`")),
        (None, _) => return Err("--mode is missing".to_owned()),
    };
    Ok(options)
}
