//! The rows of the table: every fault in every phase of a call.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use pan123_offline::testing::Reply;

use crate::call::{Call, SECRET, envelope};
use crate::front::{http, read_most, reset, write};
use crate::scenario::{
    DEFAULT, ONCE, Row, SHORT_TIMEOUT, Settings, TLS, accept_tls, connection, full_backlog, idle,
    idle_tls, nobody_listens, response,
};
use crate::support::{Fault, NEVER, TOKEN};
use crate::tls::Identity;

/// Time between two bytes. A whole response takes longer than every timeout of the scenarios.
const DRIP: Duration = Duration::from_millis(150);
const PAGE: &str = "<html><body>no</body></html>";

/// All rows, by their place in a call.
pub(crate) fn all() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("connecting", connecting()),
        ("TLS handshake", tls_handshake()),
        ("sending", sending()),
        ("waiting for the response", waiting()),
        ("in the header", within_the_header()),
        ("in the body", within_the_body()),
        ("a complete body", invalid_bodies()),
        ("an error response", error_responses()),
        ("between two calls", between_calls()),
        ("with `retries(2)`", with_retries()),
    ]
}

fn connecting() -> Vec<Row> {
    vec![
        nobody_listens("no listener"),
        full_backlog("no response to the attempt"),
        connection("accepted, and closed at once", |_, _| None),
    ]
}

fn tls_handshake() -> Vec<Row> {
    let short = Settings {
        tls: true,
        ..SHORT_TIMEOUT
    };
    vec![
        connection("the server closes", |_, mut stream| {
            read_client_hello(&mut stream);
            None
        })
        .with(TLS),
        connection("the server sends nothing", |_, stream| Some(stream)).with(short),
        connection("byte by byte, beyond the timeout", |_, mut stream| {
            read_client_hello(&mut stream);
            // The header of a record of 16 KiB, and the record.
            write(&stream, b"\x16\x03\x03\x40\0");
            while stream.write_all(&[0]).is_ok() {
                std::thread::sleep(DRIP);
            }
            None
        })
        .with(short),
        connection("the server responds in plain HTTP", |_, mut stream| {
            read_client_hello(&mut stream);
            write(&stream, http("400 Bad Request", "", ""));
            None
        })
        .with(TLS),
        connection("a fatal alert", |_, mut stream| {
            read_client_hello(&mut stream);
            // handshake_failure
            write(&stream, b"\x15\x03\x03\0\x02\x02\x28");
            None
        })
        .with(TLS),
        connection("a certificate that is not trusted", |_, stream| {
            let untrusted = Identity::new("127.0.0.1", |_| {});
            accept_tls(&untrusted, stream).unwrap_err();
            None
        })
        .with(TLS),
    ]
}

fn read_client_hello(stream: &mut TcpStream) {
    assert_ne!(stream.read(&mut [0; 16 * 1024]).unwrap(), 0);
}

fn sending() -> Vec<Row> {
    // Only `create_task` can send a long request. The second is longer than the socket buffers of
    // both sides.
    let padding = |padding, settings| Settings {
        padding,
        ..settings
    };
    let long = "a long request is not read, and the connection reset";
    vec![
        connection(long, |_, stream| {
            reset(stream);
            None
        })
        .with(padding(60_000, DEFAULT)),
        connection("a very long request is not read", |_, stream| Some(stream))
            .with(padding(16 << 20, SHORT_TIMEOUT)),
    ]
}

fn waiting() -> Vec<Row> {
    vec![
        response("the connection ends", |_| vec![Reply::nothing()]),
        response("the connection ends, once", |_| vec![Reply::nothing()]).with(ONCE),
        connection("the connection is reset", |_, mut stream| {
            read_most(&mut stream);
            reset(stream);
            None
        }),
        connection("a TLS record that cannot be decrypted", |scene, stream| {
            let tls = accept_tls(&scene.identity, stream).unwrap();
            let record = [b"\x17\x03\x03\0\x20".as_slice(), &[0; 32]].concat();
            write(&tls.sock, record);
            Some(tls.sock)
        })
        .with(TLS),
        response("nothing arrives", |_| vec![Reply::nothing().delay(NEVER)]).with(SHORT_TIMEOUT),
        response("the response arrives late, but in time", |call| {
            vec![call.success().delay(Duration::from_millis(300))]
        }),
    ]
}

fn within_the_header() -> Vec<Row> {
    let cut = "cut in the status line, in a header, before the blank line";
    let contradiction = "`Content-Length` beside `Transfer-Encoding`";
    let http_1_0 = "HTTP/1.0, and the body ends with the connection";
    vec![
        response(cut, |call| {
            let header_len = call.success().header_len();
            let cuts = [1, 12, 30, header_len - 2, header_len - 1];
            cuts.map(|at| call.success().cut_at(at)).into()
        }),
        connection("reset", |_, stream| {
            reset_within(stream, "HTTP/1.1 200 OK\r\nContent-")
        }),
        response("stalls", |call| {
            let last = call.success().header_len() - 1;
            [30, last].map(|at| call.success().stall_at(at)).into()
        })
        .with(SHORT_TIMEOUT),
        response("byte by byte, beyond the timeout", |call| {
            vec![call.success().drip(DRIP)]
        })
        .with(SHORT_TIMEOUT),
        response("longer than 8 KiB", |call| {
            let endless = format!("HTTP/1.1 200 OK\r\nX-Long: {}", "x".repeat(1 << 20));
            let long = call.success().header("X-Long", "x".repeat(8 * 1024));
            vec![long, Reply::raw(endless)]
        }),
        response("more than 128 headers", |call| {
            let add = |reply: Reply, n| reply.header(format!("X-{n}"), "x");
            vec![(0..200).fold(call.success(), add)]
        }),
        response("not HTTP: SSH, binary, HTTP/0.9, HTTP/2", |_| {
            let others = [
                "SSH-2.0-OpenSSH_9.2\r\n",
                "\x15\x03\x01\0\x02\x02",
                "HTTP/0.9 200 OK\r\n\r\n",
                "HTTP/2 200 OK\r\n\r\n",
                "\0\0\0\x04\0\0\0\0\0",
            ];
            others.map(Reply::raw).into()
        }),
        response("a `Content-Length` that is not a number", |call| {
            let lengths = ["x", "-1", "99999999999999999999", ""];
            lengths.map(|length| of_length(call, length)).into()
        }),
        response("two different `Content-Length`s", |call| {
            vec![of_length(call, "7").header("Content-Length", "70")]
        }),
        response(contradiction, |call| {
            vec![call.success().chunked().header("Content-Length", "7")]
        }),
        response(http_1_0, |call| {
            let header = "HTTP/1.0 200 OK\r\n\r\n".to_owned();
            vec![Reply::raw(header + &call.success_body())]
        }),
        response("HTTP 100 or 103 before the response", |call| {
            let success = http("200 OK", "", &call.success_body());
            ["100 Continue", "103 Early Hints"]
                .map(|early| Reply::raw(format!("HTTP/1.1 {early}\r\n\r\n{success}")))
                .into()
        }),
    ]
}

/// A success with this `Content-Length`.
fn of_length(call: Call, length: impl ToString) -> Reply {
    call.success().header("Content-Length", length.to_string())
}

fn within_the_body() -> Vec<Row> {
    let no_close_notify = "cut, with no length, over TLS and without `close_notify`";
    let after_json = "cut, with no length, after the JSON's end";
    let then_end = "a `Content-Length` too large, then the end";
    let then_nothing = "a `Content-Length` too large, then nothing";
    vec![
        response("cut, with a `Content-Length`", |call| cuts(call.success())),
        response("cut, in chunks", |call| cuts(call.success().chunked())),
        response("cut after the size of the last chunk", |call| {
            // Only the blank line after it is missing.
            let reply = call.success().chunked();
            let len = reply.len();
            vec![reply.cut_at(len - 2)]
        }),
        response("cut, with no length", |call| cuts(unframed(call))),
        response(no_close_notify, |call| cuts(unframed(call))).with(TLS),
        response(after_json, |call| {
            let body = call.success_body() + "\r\n\r\n";
            let whole = call.success().body(body).until_close();
            let cut = |missing| whole.clone().cut_at(whole.len() - missing);
            (1..4).map(cut).collect()
        }),
        connection("reset, with a `Content-Length`", |scene, stream| {
            let response = http("200 OK", "", &scene.call.success_body());
            reset_within(stream, &response[..response.len() - 1])
        }),
        connection("reset, with no length", |scene, stream| {
            let response = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &scene.call.success_body();
            reset_within(stream, &response[..response.len() - 1])
        }),
        response("stalls", |call| {
            let whole = call.success();
            let (header_len, len) = (whole.header_len(), whole.len());
            vec![
                whole.clone().stall_at(header_len),
                whole.clone().stall_at(len - 1),
                whole.chunked().stall_at(header_len + 20),
            ]
        })
        .with(SHORT_TIMEOUT),
        response("byte by byte, beyond the timeout", |call| {
            // A header of 19 bytes, which arrives within the timeout.
            let response = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &call.success_body();
            vec![Reply::raw(response).drip(Duration::from_millis(200))]
        })
        .with(SHORT_TIMEOUT),
        response("endless", |call| vec![call.success().endless()]),
        response("longer than 64 KiB", |call| {
            let body = call.success_body() + &" ".repeat(64 * 1024);
            let long = call.success().body(body);
            vec![long.clone(), long.chunked()]
        }),
        response("a `Content-Length` too small", |call| {
            let len = call.success_body().len();
            vec![of_length(call, len - 1), of_length(call, len - 20)]
        }),
        response(then_end, |call| vec![of_length(call, 1000).close_after()]),
        response(then_nothing, |call| vec![of_length(call, 1000)]).with(SHORT_TIMEOUT),
        response("an invalid chunk size", |call| {
            let body = call.success_body();
            let chunk = |size| format!("{size}\r\n{body}\r\n0\r\n\r\n");
            let chunked = Reply::new(200).header("Transfer-Encoding", "chunked");
            ["xyz", "-5", "ffffffffffffffffff"]
                .map(|size| chunked.clone().body(chunk(size)))
                .into()
        }),
    ]
}

fn unframed(call: Call) -> Reply {
    call.success().until_close()
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

fn invalid_bodies() -> Vec<Row> {
    fn row(fault: &'static str, bodies: &'static [&'static [u8]]) -> Row {
        response(fault, |_| {
            bodies.iter().map(|body| Reply::json(*body)).collect()
        })
    }
    vec![
        response("empty", |_| vec![Reply::json(""), Reply::new(204)]),
        row(
            "not JSON: a page, white space, compressed",
            &[
                b"<html>no</html>",
                b"  \r\n",
                b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            ],
        ),
        row("not UTF-8", &[b"{\"code\":0,\"message\":\"\xff\xfe\"}"]),
        response("more after the envelope", |call| {
            vec![call.success().body(call.success_body() + "{}")]
        }),
        row(
            "no `code`",
            &[
                b"{}",
                br#"{"data":{"status":0,"process":37,"taskID":7,"accessToken":"x"}}"#,
            ],
        ),
        row(
            "code 0 without `data`",
            &[br#"{"code":0}"#, br#"{"code":0,"data":null}"#],
        ),
        response("code 0 with other `data`", |call| {
            let others = Call::ALL.into_iter().filter(|other| *other != call);
            // An array is no object, also if it has the fields in their order.
            let token = format!(r#""{TOKEN}""#);
            let invalid = ["[7]", &format!("[{token}]"), "7", &token].map(envelope);
            let invalid = invalid.into_iter().map(Reply::json);
            others.map(Call::success).chain(invalid).collect()
        }),
    ]
}

fn error_responses() -> Vec<Row> {
    let code = |fault, code| response(fault, move |_| vec![Reply::code(code, "no")]);
    let status = |fault, status| {
        response(fault, move |_| {
            vec![Reply::new(status), Reply::new(status).body(PAGE)]
        })
    };
    let redirect = |fault, status| {
        response(fault, move |_| {
            vec![Reply::new(status).header("Location", "http://127.0.0.1:9/")]
        })
    };
    let quoting = "HTTP 502, and its page quotes request or response";
    vec![
        code("code 1", 1),
        code("code 401", 401),
        code("code 403", 403),
        response(r#"code `"403"` of the load balancer"#, |_| {
            let message = "123pan-global-slb forbidden client ip 203.0.113.7";
            vec![Reply::json(format!(
                r#"{{"code":"403","message":"{message}"}}"#
            ))]
        }),
        code("code 429", 429),
        response("code 1 in HTTP 500", |_| {
            vec![Reply::code(1, "no").status(500)]
        }),
        response("code 0 in HTTP 502", |call| {
            vec![call.success().status(502)]
        }),
        response("code 429 in HTTP 429", |_| {
            vec![Reply::code(429, "no").status(429)]
        }),
        redirect("HTTP 301 to another address", 301),
        redirect("HTTP 307 to another address", 307),
        status("HTTP 401", 401),
        status("HTTP 403", 403),
        response("HTTP 403, and its page is cut", |_| {
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
        response(quoting, |call| {
            let secret = if call == Call::Token { SECRET } else { TOKEN };
            vec![
                Reply::new(502).body(format!("you sent: {secret}")),
                Reply::new(502).body(call.success_body() + "and more"),
            ]
        }),
    ]
}

fn between_calls() -> Vec<Row> {
    let pooled = Settings {
        pooled: true,
        ..ONCE
    };
    let announced = "its end was announced with the previous response";
    let in_one_piece = "an unsolicited response, in one piece with the previous one";
    let long_over_tls = "the same over TLS, longer than 4 KiB";
    vec![
        idle(
            "the idle connection is closed",
            first_response,
            |_, stream| {
                // A token request's own connection is closed already.
                let _ = stream.shutdown(Shutdown::Write);
                Some(stream)
            },
        ),
        idle(
            "the idle connection is reset",
            first_response,
            |_, stream| {
                reset(stream);
                None
            },
        ),
        idle(
            announced,
            |call| first_response(call).replacen("\r\n", "\r\nConnection: close\r\n", 1),
            |_, stream| Some(stream),
        ),
        response("it ends as the next request arrives", |_| {
            vec![Reply::nothing()]
        })
        .with(pooled),
        idle(
            "an unsolicited HTTP 408, then the end",
            first_response,
            |_, stream| {
                write(&stream, http("408 Request Timeout", "", PAGE));
                // A token request's own connection is closed already.
                let _ = stream.shutdown(Shutdown::Write);
                Some(stream)
            },
        ),
        idle("an unsolicited response", first_response, |call, stream| {
            write(&stream, http("200 OK", "", &call.stray()));
            Some(stream)
        }),
        idle(
            in_one_piece,
            |call| first_response(call) + &http("200 OK", "", &call.stray()),
            |_, stream| Some(stream),
        ),
        idle_tls("the same over TLS, short", first_response, |call| {
            http("200 OK", "", &call.stray())
        }),
        idle_tls(long_over_tls, first_response, |call| {
            let long = format!("X-Long: {}\r\n", "x".repeat(5000));
            http("200 OK", &long, &call.stray())
        }),
    ]
}

/// The response that leaves a connection in the pool; an error for a client without a token.
fn first_response(call: Call) -> String {
    match call {
        Call::Token => http("503 Service Unavailable", "", PAGE),
        _ => http("200 OK", "", &Call::GetProcess.success_body()),
    }
}

fn with_retries() -> Vec<Row> {
    let retrying = Settings {
        retries: 2,
        ..DEFAULT
    };
    let once = Settings {
        once: true,
        ..retrying
    };
    let row = |fault, reply: fn() -> Reply| {
        let at_once = move |_| vec![reply().header("Retry-After", "0")];
        response(fault, at_once).with(retrying)
    };
    vec![
        row("HTTP 503", || Reply::new(503)),
        row("HTTP 503, once", || Reply::new(503)).with(once),
        row("code 429", || Reply::code(429, "no")),
        row("code 1", || Reply::code(1, "no")),
        row("the connection ends, each time", Reply::nothing),
    ]
}
