//! A parser of HTTP responses that is independent of the client's.

/// Returns the body of the complete 2xx response at the beginning of these bytes: several
/// candidates if its headers contradict each other, none if it is incomplete.
pub fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    loop {
        let Some((headers, body)) = split_headers(rest) else {
            return Vec::new();
        };
        match status(&headers) {
            // An interim response: the final one follows.
            Some(100..=199) => rest = body,
            Some(200..=299) => return framed(&headers, body),
            _ => return Vec::new(),
        }
    }
}

/// Splits the bytes after the blank line that ends the headers. The lines begin with the status
/// line.
fn split_headers(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        match (line.is_empty(), lines.is_empty()) {
            (true, false) => return Some((lines, rest)),
            (true, true) => {}
            (false, _) => lines.push(line),
        }
    }
}

fn status(headers: &[&[u8]]) -> Option<u16> {
    let line = headers.first()?.strip_prefix(b"HTTP/1.")?;
    let digits = line.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn framed(headers: &[&[u8]], rest: &[u8]) -> Vec<Vec<u8>> {
    let lengths = values(headers, "content-length");
    let encodings = values(headers, "transfer-encoding");
    if lengths.is_empty() && encodings.is_empty() {
        return vec![rest.to_vec()];
    }
    let cut = lengths
        .iter()
        .filter_map(|length| rest.get(..length.parse().ok()?))
        .map(<[u8]>::to_vec);
    cut.chain((!encodings.is_empty()).then(|| unchunked(rest)).flatten())
        .collect()
}

fn values(headers: &[&[u8]], name: &str) -> Vec<String> {
    let fields = headers.iter().skip(1).filter_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':')?;
        field
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    });
    fields.collect()
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 1..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = &rest[size..];
        rest = rest
            .strip_prefix(b"\r")
            .unwrap_or(rest)
            .strip_prefix(b"\n")?;
    }
}
