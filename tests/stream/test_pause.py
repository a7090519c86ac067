"""A pause grows while something goes wrong, and begins anew when it went well."""

from fillip.stream.pause import Pause


async def test_a_pause_doubles_up_to_its_longest_and_begins_anew() -> None:
    pause, waited_s = Pause(0.001, 0.003), []
    for _ in range(3):
        waited_s.append(pause.next_s)
        await pause.take()
    assert [*waited_s, pause.next_s] == [0.001, 0.002, 0.003, 0.003]
    pause.reset()
    assert pause.next_s == 0.001
