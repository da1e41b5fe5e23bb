//! Who is where.

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, fresh_channel, info};
use crate::{Engine, Origin, PresenceStats};

fn add<H: Harness>(rig: &Rig<'_, H>, client: u128, user: &str) {
    let info = info(user, &client.to_string());
    let added = rig.engine.add_presence(&rig.channel, Origin(client), info);
    rig.harness.block_on(added).expect("adding works");
}

fn remove<H: Harness>(rig: &Rig<'_, H>, client: u128) {
    let removed = rig.engine.remove_presence(&rig.channel, Origin(client));
    rig.harness.block_on(removed).expect("removing works");
}

/// Clients and users that are present, by client.
fn present<H: Harness>(rig: &Rig<'_, H>) -> Vec<(u128, String)> {
    let presence = rig.harness.block_on(rig.engine.presence(&rig.channel)).expect("listing works");
    let mut present: Vec<_> = presence
        .into_iter()
        .map(|(Origin(client), info)| {
            assert_eq!(info.client, client.to_string(), "each client has its own information");
            (client, info.user.clone())
        })
        .collect();
    present.sort_unstable();
    present
}

fn assert_stats<H: Harness>(rig: &Rig<'_, H>, clients: usize, users: usize) {
    let stats = rig.harness.block_on(rig.engine.presence_stats(&rig.channel)).expect("counting works");
    assert_eq!(stats, PresenceStats { clients, users });
    assert_eq!(present(rig).len(), clients, "the list has as many");
}

pub(super) fn who_is_present_is_listed_and_counted<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    assert_stats(&rig, 0, 0);
    add(&rig, 1, "ann");
    add(&rig, u128::MAX, "bob");
    assert_eq!(present(&rig), [(1, "ann".into()), (u128::MAX, "bob".into())]);
    assert_stats(&rig, 2, 2);
    remove(&rig, 1);
    assert_eq!(present(&rig), [(u128::MAX, "bob".into())]);
    remove(&rig, u128::MAX);
    assert_stats(&rig, 0, 0);
}

pub(super) fn a_client_that_is_added_again_is_replaced<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    add(&rig, 1, "ann");
    add(&rig, 1, "ann");
    assert_stats(&rig, 1, 1);
    add(&rig, 1, "bob");
    assert_eq!(present(&rig), [(1, "bob".into())]);
    assert_stats(&rig, 1, 1);
    remove(&rig, 1);
    assert_stats(&rig, 0, 0);
}

pub(super) fn users_are_counted_once<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    (1..=3).for_each(|client| add(&rig, client, "ann"));
    add(&rig, 4, "bob");
    assert_stats(&rig, 4, 2);
    remove(&rig, 1);
    remove(&rig, 2);
    assert_stats(&rig, 2, 2);
    remove(&rig, 3);
    assert_stats(&rig, 1, 1);
}

pub(super) fn clients_without_user_count_as_one_user<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    (1..=3).for_each(|client| add(&rig, client, ""));
    add(&rig, 4, "ann");
    assert_stats(&rig, 4, 2);
}

pub(super) fn presence_belongs_to_its_channel<H: Harness>(harness: &H) {
    let mut rig = Rig::new(harness);
    add(&rig, 1, "ann");
    let here = rig.channel.clone();
    rig.channel = fresh_channel();
    assert_stats(&rig, 0, 0);
    add(&rig, 1, "ann");
    remove(&rig, 1);
    rig.channel = here;
    assert_stats(&rig, 1, 1);
}

pub(super) fn whoever_was_never_present_can_be_removed<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    remove(&rig, 1);
    add(&rig, 1, "ann");
    remove(&rig, 2);
    remove(&rig, 1);
    remove(&rig, 1);
    assert_stats(&rig, 0, 0);
    add(&rig, 1, "ann");
    assert_stats(&rig, 1, 1);
}
