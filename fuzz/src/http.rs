//! HTTP answers as the checks see them.

/// The body of the whole answer of a success at the beginning of these bytes; more than one where its headers
/// contradict each other, none where it is incomplete.
pub fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    loop {
        let Some((head, body)) = split_head(rest) else {
            return Vec::new();
        };
        match status(&head) {
            // An interim answer: the one that counts comes behind it.
            Some(100..=199) => rest = body,
            Some(200..=299) => return framed(&head, body),
            _ => return Vec::new(),
        }
    }
}

/// The lines of a head, and what comes behind its blank line.
fn split_head(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
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

fn status(head: &[&[u8]]) -> Option<u16> {
    let line = head.first()?.strip_prefix(b"HTTP/1.")?;
    let digits = line.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn framed(head: &[&[u8]], rest: &[u8]) -> Vec<Vec<u8>> {
    let lengths = values(head, "content-length");
    let encodings = values(head, "transfer-encoding");
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

fn values(head: &[&[u8]], name: &str) -> Vec<String> {
    let fields = head.iter().skip(1).filter_map(|line| {
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
