use call::{Envelope, JSON, PLATFORM, Target, USER_AGENT};
use curl::easy::{Easy, List};

fn main() {
    call::run(|target| {
        let (mut handle, mut body) = (handle(&target), Vec::new());
        move || {
            handle.url(&target.url()).unwrap();
            body.clear();
            let mut transfer = handle.transfer();
            transfer
                .write_function(|part| {
                    body.extend_from_slice(part);
                    Ok(part.len())
                })
                .unwrap();
            transfer.perform().unwrap();
            drop(transfer);
            serde_json::from_slice::<Envelope>(&body).unwrap().percent()
        }
    });
}

/// One handle for all calls: it keeps the connection, and its headers are set once.
fn handle(target: &Target) -> Easy {
    let mut headers = List::new();
    headers
        .append(&format!("Authorization: Bearer {}", call::token()))
        .unwrap();
    headers.append(&format!("Platform: {PLATFORM}")).unwrap();
    headers.append(&format!("Content-Type: {JSON}")).unwrap();
    headers.append(&format!("Accept: {JSON}")).unwrap();
    let mut handle = Easy::new();
    handle.http_headers(headers).unwrap();
    handle.useragent(USER_AGENT).unwrap();
    if let Some(path) = &target.certificate {
        handle.cainfo(path).unwrap();
    }
    handle
}
