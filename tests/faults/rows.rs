//! The rows of the table: every fault, at every place it can strike.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use pan123_offline::testing::Reply;

use crate::call::{Call, SECRET, envelope};
use crate::front::{http, read_most, reset, write};
use crate::scenario::{
    How, IMPATIENT, Row, USUAL, answer, connection, full_backlog, idle, idle_tls, nobody_listens,
    untrusted,
};
use crate::support::TOKEN;

pub(crate) fn all() -> Vec<Row> {
    [
        connecting(),
        tls_handshake(),
        sending(),
        waiting(),
        within_the_head(),
        within_the_body(),
        whole_but_wrong(),
        refusals(),
        between_calls(),
        with_retries(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const ONCE: How = How {
    once: true,
    ..USUAL
};
const TLS: How = How { tls: true, ..USUAL };

fn connecting() -> Vec<Row> {
    let at = "connecting";
    vec![
        nobody_listens(at, "no listener"),
        full_backlog(at, "no response to the attempt"),
        connection(at, "accepted, and closed at once", USUAL, |_, _| None),
    ]
}

fn tls_handshake() -> Vec<Row> {
    let at = "TLS handshake";
    vec![
        connection(at, "the server closes", TLS, |_, mut stream| {
            read_greeting(&mut stream);
            None
        }),
        connection(
            at,
            "the server sends nothing",
            How {
                tls: true,
                ..IMPATIENT
            },
            |_, stream| Some(stream),
        ),
        connection(
            at,
            "the server responds in plain HTTP",
            TLS,
            |_, mut stream| {
                read_greeting(&mut stream);
                write(&stream, http("400 Bad Request", "", ""));
                None
            },
        ),
        untrusted(at, "a certificate that is not trusted"),
    ]
}

fn read_greeting(stream: &mut TcpStream) {
    use std::io::Read;

    assert_ne!(stream.read(&mut [0; 16 * 1024]).unwrap(), 0);
}

fn sending() -> Vec<Row> {
    let at = "sending";
    // Of the three only a task can be long. More than the sockets of both sides hold.
    let (long, endless) = (60_000, 16 << 20);
    vec![
        connection(
            at,
            "a long request is not read, and the connection reset",
            How {
                padding: long,
                ..USUAL
            },
            |_, stream| {
                reset(stream);
                None
            },
        ),
        connection(
            at,
            "a very long request is not read",
            How {
                padding: endless,
                ..IMPATIENT
            },
            |_, stream| Some(stream),
        ),
    ]
}

fn waiting() -> Vec<Row> {
    let at = "waiting for the response";
    vec![
        answer(at, "the connection ends", USUAL, |_| vec![Reply::nothing()]),
        answer(at, "the connection ends, once", ONCE, |_| {
            vec![Reply::nothing()]
        }),
        connection(at, "the connection is reset", USUAL, |_, mut stream| {
            read_most(&mut stream);
            reset(stream);
            None
        }),
        answer(at, "nothing arrives", IMPATIENT, |_| {
            vec![Reply::nothing().stall_at(0), Reply::nothing().delay(AGES)]
        }),
        answer(
            at,
            "the response arrives late, but in time",
            USUAL,
            |call| vec![call.good().delay(Duration::from_millis(300))],
        ),
    ]
}

const AGES: Duration = Duration::from_secs(600);
/// Beyond any time limit in here for the bytes of one answer.
const DRIP: Duration = Duration::from_millis(150);

fn within_the_head() -> Vec<Row> {
    let at = "in the header";
    vec![
        answer(
            at,
            "cut in the status line, in a header, before the blank line",
            USUAL,
            |call| {
                let head = call.good().header_len();
                [1, 12, 30, head - 2, head - 1]
                    .map(|at| call.good().cut_at(at))
                    .into()
            },
        ),
        connection(at, "reset", USUAL, |_, mut stream| {
            read_most(&mut stream);
            write(&stream, "HTTP/1.1 200 OK\r\nContent-");
            reset(stream);
            None
        }),
        answer(at, "stalls", IMPATIENT, |call| {
            let head = call.good().header_len();
            vec![call.good().stall_at(30), call.good().stall_at(head - 1)]
        }),
        answer(at, "byte by byte, beyond the timeout", IMPATIENT, |call| {
            vec![call.good().drip(DRIP)]
        }),
        answer(at, "longer than 8 KiB", USUAL, |call| {
            let endless = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(1 << 20));
            vec![
                call.good().header("X-Long", "x".repeat(8 * 1024)),
                Reply::raw(endless),
            ]
        }),
        answer(at, "more than 128 headers", USUAL, |call| {
            vec![(0..200).fold(call.good(), |reply, n| reply.header(format!("X-{n}"), "x"))]
        }),
        answer(at, "not HTTP: SSH, binary, HTTP/0.9, HTTP/2", USUAL, |_| {
            let settings = b"\0\0\0\x04\0\0\0\0\0";
            let others = [
                "SSH-2.0-OpenSSH_9.2\r\n",
                "\x15\x03\x01\0\x02\x02",
                "HTTP/0.9 200 OK\r\n\r\n",
                "HTTP/2 200 OK\r\n\r\n",
            ];
            others
                .map(Reply::raw)
                .into_iter()
                .chain([Reply::raw(settings)])
                .collect()
        }),
        answer(
            at,
            "a `Content-Length` that is not a number",
            USUAL,
            |call| {
                ["x", "-1", "99999999999999999999", ""]
                    .map(|length| call.good().header("Content-Length", length))
                    .into()
            },
        ),
        answer(at, "two different `Content-Length`s", USUAL, |call| {
            vec![
                call.good()
                    .header("Content-Length", "7")
                    .header("Content-Length", "70"),
            ]
        }),
        answer(
            at,
            "`Content-Length` beside `Transfer-Encoding`",
            USUAL,
            |call| {
                vec![
                    call.good()
                        .chunked()
                        .header("Content-Length", "7")
                        .header("Transfer-Encoding", "chunked"),
                ]
            },
        ),
        answer(
            at,
            "HTTP/1.0, and the body ends with the connection",
            USUAL,
            |call| {
                vec![
                    Reply::raw(format!("HTTP/1.0 200 OK\r\n\r\n{}", good_body(call))).close_after(),
                ]
            },
        ),
        answer(at, "HTTP 100 or 103 before the response", USUAL, |call| {
            let good = http("200 OK", "", &good_body(call));
            ["100 Continue", "103 Early Hints"]
                .map(|early| Reply::raw(format!("HTTP/1.1 {early}\r\n\r\n{good}")))
                .into()
        }),
    ]
}

fn good_body(call: Call) -> String {
    match call {
        Call::GetProcess => envelope(r#"{"status":0,"process":37}"#),
        Call::CreateTask => envelope(r#"{"taskID":403316}"#),
        Call::Token => envelope(&format!(r#"{{"accessToken":"{TOKEN}"}}"#)),
    }
}

fn within_the_body() -> Vec<Row> {
    let at = "in the body";
    vec![
        answer(at, "cut, with a `Content-Length`", USUAL, |call| {
            cuts(call.good())
        }),
        answer(at, "cut, in chunks", USUAL, |call| {
            cuts(call.good().chunked())
        }),
        answer(at, "cut after the size of the last chunk", USUAL, |call| {
            // Its line is whole, and only the blank line behind it is missing.
            let reply = call.good().chunked();
            let all = reply.len();
            vec![reply.cut_at(all - 2)]
        }),
        answer(at, "cut, with no length", USUAL, |call| {
            cuts(call.good().until_close())
        }),
        answer(
            at,
            "cut, with no length, over TLS and without `close_notify`",
            TLS,
            |call| cuts(call.good().until_close()),
        ),
        answer(
            at,
            "cut, with no length, after the JSON's end",
            USUAL,
            |call| {
                let whole = call.good().body(good_body(call) + "\r\n\r\n").until_close();
                let all = whole.len();
                (1..4)
                    .map(|missing| whole.clone().cut_at(all - missing))
                    .collect()
            },
        ),
        connection(
            at,
            "reset, with a `Content-Length`",
            USUAL,
            |call, stream| {
                let answer = http("200 OK", "", &good_body(call));
                reset_within(stream, &answer[..answer.len() - 1])
            },
        ),
        connection(at, "reset, with no length", USUAL, |call, stream| {
            let body = good_body(call);
            reset_within(
                stream,
                &format!("HTTP/1.1 200 OK\r\n\r\n{}", &body[..body.len() - 1]),
            )
        }),
        answer(at, "stalls", IMPATIENT, |call| {
            let whole = call.good();
            let (head, all) = (whole.header_len(), whole.len());
            vec![
                whole.clone().stall_at(head),
                whole.clone().stall_at(all - 1),
                whole.chunked().stall_at(head + 20),
            ]
        }),
        answer(at, "byte by byte, beyond the timeout", IMPATIENT, |call| {
            // A head of 19 bytes, for which there is time.
            let reply = Reply::raw(format!("HTTP/1.1 200 OK\r\n\r\n{}", good_body(call)));
            vec![reply.close_after().drip(Duration::from_millis(200))]
        }),
        answer(at, "endless", USUAL, |call| vec![call.good().endless()]),
        answer(at, "longer than 64 KiB", USUAL, |call| {
            let body = good_body(call) + &" ".repeat(64 * 1024);
            vec![
                call.good().body(body.clone()),
                call.good().body(body).chunked(),
            ]
        }),
        answer(at, "a `Content-Length` too small", USUAL, |call| {
            let less = |by: usize| {
                call.good()
                    .header("Content-Length", (good_body(call).len() - by).to_string())
            };
            vec![less(1), less(20)]
        }),
        answer(
            at,
            "a `Content-Length` too large, then the end",
            USUAL,
            |call| vec![call.good().header("Content-Length", "1000").close_after()],
        ),
        answer(
            at,
            "a `Content-Length` too large, then nothing",
            IMPATIENT,
            |call| vec![call.good().header("Content-Length", "1000")],
        ),
        answer(at, "an invalid chunk size", USUAL, |call| {
            ["xyz", "-5", "ffffffffffffffffff"]
                .map(|size| broken_chunk(size, call))
                .into()
        }),
    ]
}

/// From the head's end to the last byte.
fn cuts(reply: Reply) -> Vec<Reply> {
    let (head, all) = (reply.header_len(), reply.len());
    [head, head + 1, head + 30, all - 1]
        .map(|at| reply.clone().cut_at(at))
        .into()
}

fn reset_within(mut stream: TcpStream, answer: &str) -> Option<TcpStream> {
    read_most(&mut stream);
    write(&stream, answer);
    reset(stream);
    None
}

fn broken_chunk(size: &str, call: Call) -> Reply {
    Reply::raw(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{}\r\n0\r\n\r\n",
        good_body(call)
    ))
}

fn whole_but_wrong() -> Vec<Row> {
    let at = "a complete body";
    vec![
        answer(at, "empty", USUAL, |_| {
            vec![Reply::json(""), Reply::new(204)]
        }),
        answer(
            at,
            "not JSON: a page, white space, compressed",
            USUAL,
            |_| {
                vec![
                    Reply::json(PAGE),
                    Reply::json("  \r\n"),
                    Reply::json(b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice()),
                ]
            },
        ),
        answer(at, "not UTF-8", USUAL, |_| {
            vec![Reply::json(
                b"{\"code\":0,\"message\":\"\xff\xfe\"}".as_slice(),
            )]
        }),
        answer(at, "more after the envelope", USUAL, |call| {
            vec![call.good().body(good_body(call) + "{}")]
        }),
        answer(at, "no `code`", USUAL, |_| {
            vec![
                Reply::json("{}"),
                Reply::json(r#"{"data":{"status":0,"process":37,"taskID":7,"accessToken":"x"}}"#),
            ]
        }),
        answer(at, "code 0 without `data`", USUAL, |_| {
            vec![
                Reply::json(r#"{"code":0}"#),
                Reply::json(r#"{"code":0,"data":null}"#),
            ]
        }),
        answer(at, "code 0 with other `data`", USUAL, |call| {
            let others = Call::ALL.into_iter().filter(|other| *other != call);
            let odd = ["[]", "7", &format!(r#""{TOKEN}""#)].map(|data| Reply::json(envelope(data)));
            others.map(Call::good).chain(odd).collect()
        }),
    ]
}

const PAGE: &str = "<html><body>no</body></html>";

fn refusals() -> Vec<Row> {
    let at = "an error response";
    let code = |fault, code| answer(at, fault, USUAL, move |_| vec![Reply::code(code, "no")]);
    let status = |fault, status| {
        answer(at, fault, USUAL, move |_| {
            vec![Reply::new(status), Reply::new(status).body(PAGE)]
        })
    };
    let redirect = |fault, status| {
        answer(at, fault, USUAL, move |_| {
            vec![Reply::new(status).header("Location", "http://127.0.0.1:9/")]
        })
    };
    vec![
        code("code 1", 1),
        code("code 401", 401),
        code("code 403", 403),
        answer(at, r#"code `"403"` of the load balancer"#, USUAL, |_| {
            vec![Reply::json(
                r#"{"code":"403","message":"123pan-global-slb forbidden client ip 203.0.113.7"}"#,
            )]
        }),
        code("code 429", 429),
        answer(at, "code 1 in HTTP 500", USUAL, |_| {
            vec![Reply::code(1, "no").status(500)]
        }),
        answer(at, "code 0 in HTTP 502", USUAL, |call| {
            vec![call.good().status(502)]
        }),
        answer(at, "code 429 in HTTP 429", USUAL, |_| {
            vec![Reply::code(429, "no").status(429)]
        }),
        redirect("HTTP 301 to another address", 301),
        redirect("HTTP 307 to another address", 307),
        status("HTTP 401", 401),
        status("HTTP 403", 403),
        answer(at, "HTTP 403, and its page is cut", USUAL, |_| {
            let page = Reply::new(403).body(PAGE);
            let all = page.len();
            vec![page.cut_at(all - 7)]
        }),
        status("HTTP 404", 404),
        status("HTTP 429", 429),
        status("HTTP 500", 500),
        status("HTTP 502", 502),
        status("HTTP 503", 503),
        status("HTTP 504", 504),
        answer(
            at,
            "HTTP 502, and its page quotes request or response",
            USUAL,
            |call| {
                let secret = if call == Call::Token { SECRET } else { TOKEN };
                let answer = good_body(call) + "and more";
                vec![
                    Reply::new(502).body(format!("you sent: {secret}")),
                    Reply::new(502).body(answer),
                ]
            },
        ),
    ]
}

fn between_calls() -> Vec<Row> {
    let at = "between two calls";
    let pooled = How {
        pooled: true,
        ..USUAL
    };
    vec![
        idle(at, "the idle connection is closed", warm, |_, stream| {
            stream.shutdown(Shutdown::Write).unwrap();
            Some(stream)
        }),
        idle(at, "the idle connection is reset", warm, |_, stream| {
            reset(stream);
            None
        }),
        idle(
            at,
            "its end was announced with the previous response",
            |call| warm(call).replacen("\r\n", "\r\nConnection: close\r\n", 1),
            |_, stream| Some(stream),
        ),
        answer(
            at,
            "it ends as the next request arrives",
            How {
                once: true,
                ..pooled
            },
            |_| vec![Reply::nothing()],
        ),
        idle(
            at,
            "an unsolicited HTTP 408, then the end",
            warm,
            |_, stream| {
                write(&stream, http("408 Request Timeout", "", PAGE));
                stream.shutdown(Shutdown::Write).unwrap();
                Some(stream)
            },
        ),
        idle(at, "an unsolicited response", warm, |call, stream| {
            write(&stream, http("200 OK", "", &call.stray()));
            Some(stream)
        }),
        idle(
            at,
            "an unsolicited response, in one piece with the previous one",
            |call| warm(call) + &http("200 OK", "", &call.stray()),
            |_, stream| Some(stream),
        ),
        idle_tls(at, "the same over TLS, short", warm, |call| {
            http("200 OK", "", &call.stray())
        }),
        idle_tls(at, "the same over TLS, longer than 4 KiB", warm, |call| {
            http(
                "200 OK",
                &format!("X-Long: {}\r\n", "x".repeat(5000)),
                &call.stray(),
            )
        }),
    ]
}

/// What puts a connection into the pool: an answer, or for a client without a token a failure.
fn warm(call: Call) -> String {
    match call {
        Call::Token => http("503 Service Unavailable", "", PAGE),
        _ => http("200 OK", "", &good_body(Call::GetProcess)),
    }
}

fn with_retries() -> Vec<Row> {
    let at = "with `retries(2)`";
    let retrying = How {
        retries: 2,
        ..USUAL
    };
    let again = |reply: Reply| vec![reply.header("Retry-After", "0")];
    vec![
        answer(at, "HTTP 503", retrying, move |_| again(Reply::new(503))),
        answer(
            at,
            "HTTP 503, once",
            How {
                once: true,
                ..retrying
            },
            move |_| again(Reply::new(503)),
        ),
        answer(at, "code 429", retrying, move |_| {
            again(Reply::code(429, "no"))
        }),
        answer(at, "code 1", retrying, move |_| again(Reply::code(1, "no"))),
        answer(at, "the connection ends, each time", retrying, |_| {
            vec![Reply::nothing()]
        }),
    ]
}
