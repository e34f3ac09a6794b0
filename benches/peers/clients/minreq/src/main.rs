use call::{Envelope, JSON, PLATFORM, USER_AGENT};

fn main() {
    call::run(|target| {
        let token = call::token();
        move || {
            minreq::get(target.url())
                .with_header("Authorization", format!("Bearer {token}"))
                .with_header("Platform", PLATFORM)
                .with_header("Content-Type", JSON)
                .with_header("Accept", JSON)
                .with_header("User-Agent", USER_AGENT)
                .send()
                .unwrap()
                .json::<Envelope>()
                .unwrap()
                .percent()
        }
    });
}
