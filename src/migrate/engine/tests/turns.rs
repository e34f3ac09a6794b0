//! Creations, polls and direct calls take turns.

use super::*;

/// Tasks that change at each poll are due all the time.
#[test]
fn polls_and_creations_take_turns() {
    let mut percent = 0;
    let on_poll = move |_| {
        percent = (percent + 1) % 100;
        (Duration::ZERO, Ok(running(percent)))
    };
    let mut fixture = with_polls(10, [], on_poll).gap(Duration::ZERO);
    fixture.engine.scheduler.policy = PollPolicy::new().initial_interval(Duration::ZERO);
    fixture.engine.also_watch(&[101, 102, 103]);
    let mut created = 0;
    while created < 10 {
        created += usize::from(fixture.next().unwrap().starts_with("created"));
    }
    let mut polls = 0;
    for pair in fixture.service.received.borrow().windows(2) {
        polls += usize::from(pair[0].task_id.is_some());
        assert!(pair[1].at >= pair[0].at + GAP, "{pair:?}");
    }
    assert!((8..=11).contains(&polls), "{polls} polls");
}

#[test]
fn polls_are_made_between_creations_that_take_longer_than_the_gap() {
    for gap in [Duration::ZERO, SECOND] {
        let mut fixture = fixture(3, []).gap(gap);
        let mut task_id = 0;
        fixture.service.on_create(move || {
            task_id += 1;
            (2 * SECOND, Ok(task_id))
        });
        let expected = expect([
            (2000, "created 0 as 1"),
            (2000, "Some(0) done"),
            (4200, "created 1 as 2"),
            (4200, "Some(1) done"),
            (6400, "created 2 as 3"),
            (6400, "Some(2) done"),
        ]);
        assert_eq!(fixture.events(), expected);
    }
}

#[test]
fn direct_calls_do_not_starve_creations() {
    let mut fixture = fixture(3, []).create_only();
    fixture.service.direct_calls(SECOND / 10);
    fixture.service.throttle.record(fixture.service.clock.start);
    let created = fixture.events();
    assert_eq!(created.len(), 3, "{created:?}");
    assert!(created[2].0 < 3000, "{created:?}");
}
