from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from outagecast import dialling


@pytest.mark.parametrize(
    ("number", "country"),
    [
        *(("+61491570156", "AU"), ("+64211234567", "NZ"), ("+447911123456", "GB"), ("+40721123456", "RO")),
        *(("+12025550123", "US"), ("+14165550123", "CA"), ("+18765550123", "JM"), ("+17875550123", "PR")),
        *(("+79161234567", "RU"), ("+77011234567", "KZ"), ("+76001234567", "KZ"), ("+3531234567", "IE")),
        *(("+393123456789", "IT"), ("+85212345678", "HK"), ("+881612345678", ""), ("+8835100012345", "")),
    ],
)
def test_a_number_is_of_the_country_that_it_begins_with(number: str, country: str) -> None:
    assert dialling.country(number) == country


@pytest.mark.parametrize(
    ("zone", "countries"),
    [
        *(
            ("Australia/Sydney", ("AU",)),
            ("Australia/ACT", ("AU",)),
            ("Europe/Bucharest", ("RO",)),
            ("US/Pacific", ("US",)),
        ),
        *(("Asia/Kolkata", ("IN",)), ("UTC", ()), ("Etc/GMT+3", ()), ("Europe/London", ("GB",))),
    ],
)
def test_an_organisation_is_of_the_country_whose_clock_it_reads(zone: str, countries: tuple[str, ...]) -> None:
    assert dialling.own(ZoneInfo(zone)) == countries


def test_every_country_of_the_list_is_written_in_two_letters_and_no_code_stands_twice() -> None:
    codes = dialling._ABROAD.split()[::2]

    assert all(len(country) == 2 and country.isupper() for country in dialling.countries())
    assert len(codes) == len(set(codes))
    assert all(code.isdigit() and len(code) <= 3 for code in codes)
