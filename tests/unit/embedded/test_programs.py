"""The folder of root's copy of PostgreSQL: programs from it run as the server's account."""

from __future__ import annotations

import stat

import pytest

from jobtide.errors import JobtideError
from jobtide_controller.embedded.programs import roots_state


def test_the_folder_is_made_so_that_others_can_read_and_not_write(tmp_path):
    made = roots_state(tmp_path / "jobtide")

    assert stat.S_IMODE(made.stat().st_mode) & 0o022 == 0
    assert roots_state(made) == made


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_could_write_to_is_refused(mode, tmp_path):
    tmp_path.chmod(mode)

    with pytest.raises(JobtideError, match=rf"has mode {mode:04o}, so another user may have put programs into it"):
        roots_state(tmp_path)


def test_a_folder_that_another_user_made_first_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    owner = tmp_path.stat().st_uid

    with pytest.raises(JobtideError, match=f"belongs to user {owner} .* remove it and start again"):
        roots_state(tmp_path, owners=[owner + 1])
