import pytest

from embudget.passwords import hide_passwords, hide_secrets, secrets_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:hunter2@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg://me:hunter2@host/db?sslmode=require", "postgresql+psycopg://me:***@host/db?sslmode=require"),
        ("postgresql://me:hun@ter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:hun/ter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:hun?ter#2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:hunter2@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db?user=me&password=***"),
        ("postgresql://host/db?PASSWORD=hunter2&sslpassword=hunter2", "postgresql://host/db?PASSWORD=***&sslpassword=***"),
        ("postgresql://host/db?pass%77ord=hunter2", "postgresql://host/db?pass%77ord=***"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2", "mssql+pyodbc:///?odbc_connect=***"),
        ("cannot open 'mysql://me:hunter2@host/db': no", "cannot open 'mysql://me:***@host/db': no"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////data/a b.db", "sqlite:////data/a b.db"),
        ("see https://docs.example.org/a?b=c", "see https://docs.example.org/a?b=c"),
        ("a study.db and 5 : 3 @ 2", "a study.db and 5 : 3 @ 2"),
    ],
)  # fmt: skip
def test_passwords_of_addresses_are_hidden_and_the_rest_stays(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown
    assert "hunter2" not in shown


def test_known_passwords_are_hidden_in_whatever_a_driver_says() -> None:
    secrets = secrets_of("postgresql://me:hun%40ter2@host/db?password=other")
    assert secrets == {"hun%40ter2", "other"}
    said = "login me/hun@ter2 failed, nor hun%40ter2, nor other"
    assert hide_secrets(said, secrets) == "login me/*** failed, nor ***, nor ***"
    assert hide_secrets("the database says: a is wrong", {"a"}) == "the database says: *** is wrong"
