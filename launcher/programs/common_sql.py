"""A shop's relational database and what applications do with it, for servers that speak SQL.

The schema and the statements are those that PostgreSQL and MariaDB share; parameters are written
as both drivers take them (``%s``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from common import Session, emit, heavy, word

USER, PASSWORD, DATABASE = "lab", "lab-password", "shop"
CUSTOMERS, ITEMS, ORDERS = 400, 600, 300
MAX_ROWS = 2_000

Statement = tuple[str, tuple[object, ...]]


def schema(rng: random.Random, serial: str) -> Iterator[str]:
    """Statements that make and fill the tables; ``serial`` is the type of a counted key."""
    yield "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(80), mail VARCHAR(120))"
    yield (
        "CREATE TABLE items "
        "(id INT PRIMARY KEY, name VARCHAR(80), price NUMERIC(9,2), stock INT, notes TEXT)"
    )
    yield (
        f"CREATE TABLE orders (id {serial}, customer INT, item INT, amount INT, "
        "at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
    )
    rows = [f"({n},'{person(rng)}','{word(rng)}@{word(rng)}.lab')" for n in range(CUSTOMERS)]
    yield f"INSERT INTO customers VALUES {','.join(rows)}"  # noqa: S608 - our own words
    rows = [
        f"({n},'{word(rng)}',{rng.uniform(1, 900):.2f},{rng.randrange(5_000)},"
        f"'{text(rng, heavy(rng, 120, 1.1, 5, 4_000))}')"
        for n in range(ITEMS)
    ]
    yield f"INSERT INTO items VALUES {','.join(rows)}"  # noqa: S608
    rows = [
        f"({rng.randrange(CUSTOMERS)},{rng.randrange(ITEMS)},{rng.randint(1, 9)})"
        for _ in range(ORDERS)
    ]
    yield f"INSERT INTO orders (customer, item, amount) VALUES {','.join(rows)}"  # noqa: S608
    yield "CREATE INDEX orders_customer ON orders (customer)"


def person(rng: random.Random) -> str:
    """A name."""
    return f"{word(rng).title()} {word(rng).title()}"


def text(rng: random.Random, size: int) -> str:
    """Words of about this many characters."""
    words: list[str] = []
    while size > 0:
        words.append(word(rng))
        size -= len(words[-1]) + 1
    return " ".join(words)


def lookup(rng: random.Random) -> Statement:
    """A small read."""
    number = rng.randrange(ITEMS)
    last_orders = (
        "SELECT o.id, i.name, o.amount FROM orders o JOIN items i ON i.id = o.item "
        "WHERE o.customer = %s ORDER BY o.id DESC LIMIT %s"
    )
    found: list[Statement] = [
        ("SELECT id, name, price, stock FROM items WHERE id = %s", (number,)),
        ("SELECT * FROM items WHERE id = %s", (number,)),
        ("SELECT name, mail FROM customers WHERE id = %s", (rng.randrange(CUSTOMERS),)),
        (last_orders, (rng.randrange(CUSTOMERS), rng.randint(1, 50))),
        ("SELECT id, name FROM items WHERE name LIKE %s LIMIT 20", (f"{word(rng, 1, 2)}%",)),
        ("SELECT count(*) FROM orders WHERE item = %s", (number,)),
    ]
    return rng.choice(found)


def report(rng: random.Random) -> Statement:
    """A read with many rows."""
    rows = heavy(rng, 150, 1.0, 10, MAX_ROWS)
    totals = (
        "SELECT i.name, sum(o.amount), sum(o.amount * i.price) FROM orders o "
        "JOIN items i ON i.id = o.item GROUP BY i.name ORDER BY 2 DESC LIMIT %s"
    )
    found: list[Statement] = [
        ("SELECT * FROM items ORDER BY price LIMIT %s", (rows,)),
        ("SELECT id, name, mail FROM customers ORDER BY name LIMIT %s", (rows,)),
        (totals, (rows,)),
        ("SELECT a.name, b.name FROM customers a CROSS JOIN items b LIMIT %s", (rows,)),
    ]
    return rng.choice(found)


def change(rng: random.Random) -> Statement:
    """A small write."""
    item, amount = rng.randrange(ITEMS), rng.randint(1, 9)
    found: list[Statement] = [
        ("UPDATE items SET stock = stock - %s WHERE id = %s", (amount, item)),
        ("UPDATE customers SET mail = %s WHERE id = %s", (f"{word(rng)}@lab", item % CUSTOMERS)),
        order(rng),
        order(rng),
    ]
    return rng.choice(found)


def order(rng: random.Random) -> Statement:
    """One more order."""
    row = (rng.randrange(CUSTOMERS), rng.randrange(ITEMS), rng.randint(1, 9))
    return "INSERT INTO orders (customer, item, amount) VALUES (%s, %s, %s)", row


def literal(statement: Statement) -> str:
    """A statement as a person types it."""
    sql, values = statement
    shown = [f"'{value}'" if isinstance(value, str) else str(value) for value in values]
    return sql % tuple(shown) + ";"


def typed(rng: random.Random) -> str:
    """What an administrator types next."""
    return literal(rng.choice((lookup, lookup, report, change))(rng))


def work(session: Session, connection: Any, variant: str) -> None:
    """Use a connection of the drivers' common interface as the variant says."""
    rng = session.rng
    for _ in session.actions():
        with connection.cursor() as cursor:
            if variant == "report":
                run(cursor, report(rng))
            elif variant == "import":
                rows = [order(rng)[1] for _ in range(heavy(rng, 40, 0.8, 2, 400))]
                cursor.executemany(order(rng)[0], rows)
                emit("rows", written=len(rows))
            else:
                for _ in range(heavy(rng, 3, 0.7, 1, 20)):
                    run(cursor, lookup(rng))
                if rng.random() < 0.5:
                    run(cursor, change(rng))
        if variant != "report":
            (connection.rollback if rng.random() < 0.05 else connection.commit)()


def run(cursor: Any, statement: Statement) -> None:
    """Execute a statement and fetch what it finds."""
    cursor.execute(*statement)
    rows = cursor.fetchall() if cursor.description else ()
    emit("query", verb=statement[0].split(maxsplit=1)[0], rows=len(rows))
