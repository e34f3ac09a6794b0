//! The rows of the table: every fault in every phase of a call.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use pan123_offline::testing::Reply;

use crate::call::{Call, SECRET, envelope};
use crate::front::{http, read_most, reset, write};
use crate::scenario::{
    DEFAULT, Row, SHORT_TIMEOUT, Settings, connection, full_backlog, garbled, idle, idle_tls,
    nobody_listens, response, untrusted,
};
use crate::support::TOKEN;

pub(crate) fn all() -> Vec<Row> {
    [
        connecting(),
        tls_handshake(),
        sending(),
        waiting(),
        within_the_header(),
        within_the_body(),
        invalid_bodies(),
        error_responses(),
        between_calls(),
        with_retries(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const ONCE: Settings = Settings {
    once: true,
    ..DEFAULT
};
const TLS: Settings = Settings {
    tls: true,
    ..DEFAULT
};

fn connecting() -> Vec<Row> {
    let at = "connecting";
    vec![
        nobody_listens(at, "no listener"),
        full_backlog(at, "no response to the attempt"),
        connection(at, "accepted, and closed at once", DEFAULT, |_, _| None),
    ]
}

fn tls_handshake() -> Vec<Row> {
    let at = "TLS handshake";
    vec![
        connection(at, "the server closes", TLS, |_, mut stream| {
            read_client_hello(&mut stream);
            None
        }),
        connection(
            at,
            "the server sends nothing",
            Settings {
                tls: true,
                ..SHORT_TIMEOUT
            },
            |_, stream| Some(stream),
        ),
        connection(
            at,
            "byte by byte, beyond the timeout",
            Settings {
                tls: true,
                ..SHORT_TIMEOUT
            },
            |_, mut stream| {
                read_client_hello(&mut stream);
                // The header of a record of 16 KiB, and the record.
                write(&stream, b"\x16\x03\x03\x40\0");
                while stream.write_all(&[0]).is_ok() {
                    std::thread::sleep(DRIP);
                }
                None
            },
        ),
        connection(
            at,
            "the server responds in plain HTTP",
            TLS,
            |_, mut stream| {
                read_client_hello(&mut stream);
                write(&stream, http("400 Bad Request", "", ""));
                None
            },
        ),
        connection(at, "a fatal alert", TLS, |_, mut stream| {
            read_client_hello(&mut stream);
            // handshake_failure
            write(&stream, b"\x15\x03\x03\0\x02\x02\x28");
            None
        }),
        untrusted(at, "a certificate that is not trusted"),
    ]
}

fn read_client_hello(stream: &mut TcpStream) {
    assert_ne!(stream.read(&mut [0; 16 * 1024]).unwrap(), 0);
}

fn sending() -> Vec<Row> {
    let at = "sending";
    // Only `create_task` can send a long request. The second is longer than the socket buffers of
    // both sides.
    let (long, very_long) = (60_000, 16 << 20);
    vec![
        connection(
            at,
            "a long request is not read, and the connection reset",
            Settings {
                padding: long,
                ..DEFAULT
            },
            |_, stream| {
                reset(stream);
                None
            },
        ),
        connection(
            at,
            "a very long request is not read",
            Settings {
                padding: very_long,
                ..SHORT_TIMEOUT
            },
            |_, stream| Some(stream),
        ),
    ]
}

fn waiting() -> Vec<Row> {
    let at = "waiting for the response";
    vec![
        response(at, "the connection ends", DEFAULT, |_| {
            vec![Reply::nothing()]
        }),
        response(at, "the connection ends, once", ONCE, |_| {
            vec![Reply::nothing()]
        }),
        connection(at, "the connection is reset", DEFAULT, |_, mut stream| {
            read_most(&mut stream);
            reset(stream);
            None
        }),
        garbled(at, "a TLS record that cannot be decrypted"),
        response(at, "nothing arrives", SHORT_TIMEOUT, |_| {
            vec![Reply::nothing().stall_at(0), Reply::nothing().delay(NEVER)]
        }),
        response(
            at,
            "the response arrives late, but in time",
            DEFAULT,
            |call| vec![call.success().delay(Duration::from_millis(300))],
        ),
    ]
}

/// Beyond every timeout of the scenarios.
const NEVER: Duration = Duration::from_secs(600);
/// Time between two bytes. A whole response takes longer than every timeout of the scenarios.
const DRIP: Duration = Duration::from_millis(150);

fn within_the_header() -> Vec<Row> {
    let at = "in the header";
    vec![
        response(
            at,
            "cut in the status line, in a header, before the blank line",
            DEFAULT,
            |call| {
                let header_len = call.success().header_len();
                [1, 12, 30, header_len - 2, header_len - 1]
                    .map(|at| call.success().cut_at(at))
                    .into()
            },
        ),
        connection(at, "reset", DEFAULT, |_, mut stream| {
            read_most(&mut stream);
            write(&stream, "HTTP/1.1 200 OK\r\nContent-");
            reset(stream);
            None
        }),
        response(at, "stalls", SHORT_TIMEOUT, |call| {
            let header_len = call.success().header_len();
            vec![
                call.success().stall_at(30),
                call.success().stall_at(header_len - 1),
            ]
        }),
        response(
            at,
            "byte by byte, beyond the timeout",
            SHORT_TIMEOUT,
            |call| vec![call.success().drip(DRIP)],
        ),
        response(at, "longer than 8 KiB", DEFAULT, |call| {
            let endless = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(1 << 20));
            vec![
                call.success().header("X-Long", "x".repeat(8 * 1024)),
                Reply::raw(endless),
            ]
        }),
        response(at, "more than 128 headers", DEFAULT, |call| {
            vec![(0..200).fold(call.success(), |reply, n| {
                reply.header(format!("X-{n}"), "x")
            })]
        }),
        response(
            at,
            "not HTTP: SSH, binary, HTTP/0.9, HTTP/2",
            DEFAULT,
            |_| {
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
            },
        ),
        response(
            at,
            "a `Content-Length` that is not a number",
            DEFAULT,
            |call| {
                ["x", "-1", "99999999999999999999", ""]
                    .map(|length| call.success().header("Content-Length", length))
                    .into()
            },
        ),
        response(at, "two different `Content-Length`s", DEFAULT, |call| {
            vec![
                call.success()
                    .header("Content-Length", "7")
                    .header("Content-Length", "70"),
            ]
        }),
        response(
            at,
            "`Content-Length` beside `Transfer-Encoding`",
            DEFAULT,
            |call| {
                vec![
                    call.success()
                        .chunked()
                        .header("Content-Length", "7")
                        .header("Transfer-Encoding", "chunked"),
                ]
            },
        ),
        response(
            at,
            "HTTP/1.0, and the body ends with the connection",
            DEFAULT,
            |call| {
                vec![
                    Reply::raw(format!("HTTP/1.0 200 OK\r\n\r\n{}", success_body(call)))
                        .close_after(),
                ]
            },
        ),
        response(at, "HTTP 100 or 103 before the response", DEFAULT, |call| {
            let success = http("200 OK", "", &success_body(call));
            ["100 Continue", "103 Early Hints"]
                .map(|early| Reply::raw(format!("HTTP/1.1 {early}\r\n\r\n{success}")))
                .into()
        }),
    ]
}

fn success_body(call: Call) -> String {
    match call {
        Call::GetProcess => envelope(r#"{"status":0,"process":37}"#),
        Call::CreateTask => envelope(r#"{"taskID":403316}"#),
        Call::Token => envelope(&format!(r#"{{"accessToken":"{TOKEN}"}}"#)),
    }
}

fn within_the_body() -> Vec<Row> {
    let at = "in the body";
    vec![
        response(at, "cut, with a `Content-Length`", DEFAULT, |call| {
            cuts(call.success())
        }),
        response(at, "cut, in chunks", DEFAULT, |call| {
            cuts(call.success().chunked())
        }),
        response(
            at,
            "cut after the size of the last chunk",
            DEFAULT,
            |call| {
                // Only the blank line after it is missing.
                let reply = call.success().chunked();
                let len = reply.len();
                vec![reply.cut_at(len - 2)]
            },
        ),
        response(at, "cut, with no length", DEFAULT, |call| {
            cuts(call.success().until_close())
        }),
        response(
            at,
            "cut, with no length, over TLS and without `close_notify`",
            TLS,
            |call| cuts(call.success().until_close()),
        ),
        response(
            at,
            "cut, with no length, after the JSON's end",
            DEFAULT,
            |call| {
                let whole = call
                    .success()
                    .body(success_body(call) + "\r\n\r\n")
                    .until_close();
                let len = whole.len();
                (1..4)
                    .map(|missing| whole.clone().cut_at(len - missing))
                    .collect()
            },
        ),
        connection(
            at,
            "reset, with a `Content-Length`",
            DEFAULT,
            |call, stream| {
                let response = http("200 OK", "", &success_body(call));
                reset_within(stream, &response[..response.len() - 1])
            },
        ),
        connection(at, "reset, with no length", DEFAULT, |call, stream| {
            let body = success_body(call);
            reset_within(
                stream,
                &format!("HTTP/1.1 200 OK\r\n\r\n{}", &body[..body.len() - 1]),
            )
        }),
        response(at, "stalls", SHORT_TIMEOUT, |call| {
            let whole = call.success();
            let (header_len, len) = (whole.header_len(), whole.len());
            vec![
                whole.clone().stall_at(header_len),
                whole.clone().stall_at(len - 1),
                whole.chunked().stall_at(header_len + 20),
            ]
        }),
        response(
            at,
            "byte by byte, beyond the timeout",
            SHORT_TIMEOUT,
            |call| {
                // A header of 19 bytes, which arrives within the timeout.
                let reply = Reply::raw(format!("HTTP/1.1 200 OK\r\n\r\n{}", success_body(call)));
                vec![reply.close_after().drip(Duration::from_millis(200))]
            },
        ),
        response(at, "endless", DEFAULT, |call| {
            vec![call.success().endless()]
        }),
        response(at, "longer than 64 KiB", DEFAULT, |call| {
            let body = success_body(call) + &" ".repeat(64 * 1024);
            vec![
                call.success().body(body.clone()),
                call.success().body(body).chunked(),
            ]
        }),
        response(at, "a `Content-Length` too small", DEFAULT, |call| {
            let less = |by: usize| {
                call.success().header(
                    "Content-Length",
                    (success_body(call).len() - by).to_string(),
                )
            };
            vec![less(1), less(20)]
        }),
        response(
            at,
            "a `Content-Length` too large, then the end",
            DEFAULT,
            |call| {
                vec![
                    call.success()
                        .header("Content-Length", "1000")
                        .close_after(),
                ]
            },
        ),
        response(
            at,
            "a `Content-Length` too large, then nothing",
            SHORT_TIMEOUT,
            |call| vec![call.success().header("Content-Length", "1000")],
        ),
        response(at, "an invalid chunk size", DEFAULT, |call| {
            ["xyz", "-5", "ffffffffffffffffff"]
                .map(|size| broken_chunk(size, call))
                .into()
        }),
    ]
}

/// The reply, cut at several bytes from the end of the header to the last byte.
fn cuts(reply: Reply) -> Vec<Reply> {
    let (header_len, len) = (reply.header_len(), reply.len());
    [header_len, header_len + 1, header_len + 30, len - 1]
        .map(|at| reply.clone().cut_at(at))
        .into()
}

fn reset_within(mut stream: TcpStream, response: &str) -> Option<TcpStream> {
    read_most(&mut stream);
    write(&stream, response);
    reset(stream);
    None
}

fn broken_chunk(size: &str, call: Call) -> Reply {
    Reply::raw(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{}\r\n0\r\n\r\n",
        success_body(call)
    ))
}

fn invalid_bodies() -> Vec<Row> {
    let at = "a complete body";
    vec![
        response(at, "empty", DEFAULT, |_| {
            vec![Reply::json(""), Reply::new(204)]
        }),
        response(
            at,
            "not JSON: a page, white space, compressed",
            DEFAULT,
            |_| {
                vec![
                    Reply::json(PAGE),
                    Reply::json("  \r\n"),
                    Reply::json(b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice()),
                ]
            },
        ),
        response(at, "not UTF-8", DEFAULT, |_| {
            vec![Reply::json(
                b"{\"code\":0,\"message\":\"\xff\xfe\"}".as_slice(),
            )]
        }),
        response(at, "more after the envelope", DEFAULT, |call| {
            vec![call.success().body(success_body(call) + "{}")]
        }),
        response(at, "no `code`", DEFAULT, |_| {
            vec![
                Reply::json("{}"),
                Reply::json(r#"{"data":{"status":0,"process":37,"taskID":7,"accessToken":"x"}}"#),
            ]
        }),
        response(at, "code 0 without `data`", DEFAULT, |_| {
            vec![
                Reply::json(r#"{"code":0}"#),
                Reply::json(r#"{"code":0,"data":null}"#),
            ]
        }),
        response(at, "code 0 with other `data`", DEFAULT, |call| {
            let others = Call::ALL.into_iter().filter(|other| *other != call);
            let invalid =
                ["[]", "7", &format!(r#""{TOKEN}""#)].map(|data| Reply::json(envelope(data)));
            others.map(Call::success).chain(invalid).collect()
        }),
    ]
}

const PAGE: &str = "<html><body>no</body></html>";

fn error_responses() -> Vec<Row> {
    let at = "an error response";
    let code = |fault, code| response(at, fault, DEFAULT, move |_| vec![Reply::code(code, "no")]);
    let status = |fault, status| {
        response(at, fault, DEFAULT, move |_| {
            vec![Reply::new(status), Reply::new(status).body(PAGE)]
        })
    };
    let redirect = |fault, status| {
        response(at, fault, DEFAULT, move |_| {
            vec![Reply::new(status).header("Location", "http://127.0.0.1:9/")]
        })
    };
    vec![
        code("code 1", 1),
        code("code 401", 401),
        code("code 403", 403),
        response(at, r#"code `"403"` of the load balancer"#, DEFAULT, |_| {
            vec![Reply::json(
                r#"{"code":"403","message":"123pan-global-slb forbidden client ip 203.0.113.7"}"#,
            )]
        }),
        code("code 429", 429),
        response(at, "code 1 in HTTP 500", DEFAULT, |_| {
            vec![Reply::code(1, "no").status(500)]
        }),
        response(at, "code 0 in HTTP 502", DEFAULT, |call| {
            vec![call.success().status(502)]
        }),
        response(at, "code 429 in HTTP 429", DEFAULT, |_| {
            vec![Reply::code(429, "no").status(429)]
        }),
        redirect("HTTP 301 to another address", 301),
        redirect("HTTP 307 to another address", 307),
        status("HTTP 401", 401),
        status("HTTP 403", 403),
        response(at, "HTTP 403, and its page is cut", DEFAULT, |_| {
            let page = Reply::new(403).body(PAGE);
            let len = page.len();
            vec![page.cut_at(len - 7)]
        }),
        status("HTTP 404", 404),
        status("HTTP 407", 407),
        status("HTTP 408", 408),
        status("HTTP 421", 421),
        status("HTTP 425", 425),
        status("HTTP 429", 429),
        status("HTTP 500", 500),
        status("HTTP 502", 502),
        status("HTTP 503", 503),
        status("HTTP 504", 504),
        response(
            at,
            "HTTP 502, and its page quotes request or response",
            DEFAULT,
            |call| {
                let secret = if call == Call::Token { SECRET } else { TOKEN };
                let body = success_body(call) + "and more";
                vec![
                    Reply::new(502).body(format!("you sent: {secret}")),
                    Reply::new(502).body(body),
                ]
            },
        ),
    ]
}

fn between_calls() -> Vec<Row> {
    let at = "between two calls";
    let pooled = Settings {
        pooled: true,
        ..DEFAULT
    };
    vec![
        idle(
            at,
            "the idle connection is closed",
            first_response,
            |_, stream| {
                // A token request's own connection is closed already.
                let _ = stream.shutdown(Shutdown::Write);
                Some(stream)
            },
        ),
        idle(
            at,
            "the idle connection is reset",
            first_response,
            |_, stream| {
                reset(stream);
                None
            },
        ),
        idle(
            at,
            "its end was announced with the previous response",
            |call| first_response(call).replacen("\r\n", "\r\nConnection: close\r\n", 1),
            |_, stream| Some(stream),
        ),
        response(
            at,
            "it ends as the next request arrives",
            Settings {
                once: true,
                ..pooled
            },
            |_| vec![Reply::nothing()],
        ),
        idle(
            at,
            "an unsolicited HTTP 408, then the end",
            first_response,
            |_, stream| {
                write(&stream, http("408 Request Timeout", "", PAGE));
                // A token request's own connection is closed already.
                let _ = stream.shutdown(Shutdown::Write);
                Some(stream)
            },
        ),
        idle(
            at,
            "an unsolicited response",
            first_response,
            |call, stream| {
                write(&stream, http("200 OK", "", &call.stray()));
                Some(stream)
            },
        ),
        idle(
            at,
            "an unsolicited response, in one piece with the previous one",
            |call| first_response(call) + &http("200 OK", "", &call.stray()),
            |_, stream| Some(stream),
        ),
        idle_tls(at, "the same over TLS, short", first_response, |call| {
            http("200 OK", "", &call.stray())
        }),
        idle_tls(
            at,
            "the same over TLS, longer than 4 KiB",
            first_response,
            |call| {
                http(
                    "200 OK",
                    &format!("X-Long: {}\r\n", "x".repeat(5000)),
                    &call.stray(),
                )
            },
        ),
    ]
}

/// The response that leaves a connection in the pool; an error for a client without a token.
fn first_response(call: Call) -> String {
    match call {
        Call::Token => http("503 Service Unavailable", "", PAGE),
        _ => http("200 OK", "", &success_body(Call::GetProcess)),
    }
}

fn with_retries() -> Vec<Row> {
    let at = "with `retries(2)`";
    let retrying = Settings {
        retries: 2,
        ..DEFAULT
    };
    let retry_at_once = |reply: Reply| vec![reply.header("Retry-After", "0")];
    vec![
        response(at, "HTTP 503", retrying, move |_| {
            retry_at_once(Reply::new(503))
        }),
        response(
            at,
            "HTTP 503, once",
            Settings {
                once: true,
                ..retrying
            },
            move |_| retry_at_once(Reply::new(503)),
        ),
        response(at, "code 429", retrying, move |_| {
            retry_at_once(Reply::code(429, "no"))
        }),
        response(at, "code 1", retrying, move |_| {
            retry_at_once(Reply::code(1, "no"))
        }),
        response(at, "the connection ends, each time", retrying, |_| {
            vec![Reply::nothing()]
        }),
    ]
}
