#![no_main]

use std::sync::LazyLock;

use pan123_offline_fuzz::Answer;

static ANSWER: LazyLock<Answer> = LazyLock::new(Answer::new);

libfuzzer_sys::fuzz_target!(|answer: &[u8]| {
    ANSWER.check(answer);
});
