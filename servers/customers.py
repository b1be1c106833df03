"""The customers server: addresses and accounts, and the erasure of personal data."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from typing import Annotated

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, hints, main, tool
from servers.database import Database, Schema, changed, expect_version
from servers.fields import Address, CustomerId, Email, ExpectedVersion

SCHEMA = Schema(
    tables=(
        """CREATE TABLE customers (
            id TEXT PRIMARY KEY, name TEXT, email TEXT, phone TEXT, newsletter INTEGER NOT NULL DEFAULT 0,
            line1 TEXT, city TEXT, region TEXT, postal_code TEXT, country TEXT,
            erased INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1
        ) STRICT""",
    ),
    rows={
        "INSERT INTO customers (id, name, email, phone, newsletter) VALUES (?, ?, ?, ?, ?)": [
            ("CUS-1001", "Ada Byron", "ada@example.com", "+1 415 555 0101", 1),
            ("CUS-1002", "Erik Lund", "erik@example.com", "+49 30 5550102", 0),
            ("CUS-1003", "Mina Okafor", "mina@example.com", None, 1),
        ],
        "UPDATE customers SET line1 = ?, city = ?, region = ?, postal_code = ?, country = ? WHERE id = ?": [
            ("500 Howard St", "San Francisco", "CA", "94105", "US", "CUS-1001"),
            ("Torstr. 12", "Berlin", None, "10119", "DE", "CUS-1002"),
            ("10 Downing Rd", "London", None, "SW1A 2AA", "GB", "CUS-1003"),
        ],
    },
)

Phone = Annotated[str | None, Field(max_length=40, description="New phone number; null leaves it as it is.")]
NewEmail = Annotated[Email | None, Field(description="New e-mail address; null leaves it as it is.")]
Newsletter = Annotated[bool | None, Field(strict=True, description="Wants the newsletter; null leaves it as it is.")]
NewAddress = Annotated[Address, Field(description="The whole new address; it replaces the old one.")]


class CustomerAddress(BaseModel):
    """`version` counts the changes of the customer's record."""

    customer_id: str
    name: str
    address: Address
    version: int


class Account(BaseModel):
    customer_id: str
    name: str
    email: str
    phone: str | None
    newsletter: bool
    version: int


class Erasure(BaseModel):
    """`already_erased` when an earlier call had done it and nothing changed now."""

    customer_id: str
    already_erased: bool


@dataclass(frozen=True, slots=True)
class Customers:
    database: Database

    def lookup_address(self, customer_id: CustomerId) -> CustomerAddress:
        """Look up where a customer lives."""
        row = self._customer(customer_id)
        return CustomerAddress(
            customer_id=customer_id,
            name=row["name"],
            address=Address.model_validate({field: row[field] for field in Address.model_fields}),
            version=row["version"],
        )

    def update_address(
        self, customer_id: CustomerId, address: NewAddress, expected_version: ExpectedVersion = None
    ) -> CustomerAddress:
        """Replace the address of a customer."""
        with self.database.transaction() as tx:
            version = self._customer(customer_id, expected_version)["version"]
            changed(
                tx.execute(
                    "UPDATE customers SET line1 = :line1, city = :city, region = :region,"
                    " postal_code = :postal_code, country = :country,"
                    " version = version + 1 WHERE id = :id AND version = :version",
                    {**address.model_dump(), "id": customer_id, "version": version},
                )
            )
            return self.lookup_address(customer_id)

    def modify_account(
        self,
        customer_id: CustomerId,
        email: NewEmail = None,
        phone: Phone = None,
        newsletter: Newsletter = None,
        expected_version: ExpectedVersion = None,
    ) -> Account:
        """Change contact details of a customer; what is not given stays as it is."""
        if email is None and phone is None and newsletter is None:
            raise ToolError("Nothing to change: give at least one of email, phone and newsletter.")
        with self.database.transaction() as tx:
            version = self._customer(customer_id, expected_version)["version"]
            changed(
                tx.execute(
                    "UPDATE customers SET email = coalesce(?, email), phone = coalesce(?, phone),"
                    " newsletter = coalesce(?, newsletter), version = version + 1"
                    " WHERE id = ? AND version = ?",
                    (email, phone, newsletter, customer_id, version),
                )
            )
            return Account.model_validate({"customer_id": customer_id, **dict(self._customer(customer_id))})

    def delete_customer_data(self, customer_id: CustomerId) -> Erasure:
        """Erase all personal data of a customer for good. It cannot be undone; only the identifier stays."""
        with self.database.transaction() as tx:
            row = tx.execute("SELECT erased, version FROM customers WHERE id = ?", (customer_id,)).fetchone()
            if row is None:
                raise _unknown(customer_id)
            if row["erased"]:
                return Erasure(customer_id=customer_id, already_erased=True)
            changed(
                tx.execute(
                    "UPDATE customers SET name = NULL, email = NULL, phone = NULL, newsletter = 0,"
                    " line1 = NULL, city = NULL, region = NULL, postal_code = NULL, country = NULL,"
                    " erased = 1, version = version + 1 WHERE id = ? AND version = ?",
                    (customer_id, row["version"]),
                )
            )
        return Erasure(customer_id=customer_id, already_erased=False)

    def _customer(self, customer_id: str, expected_version: int | None = None) -> sqlite3.Row:
        row = self.database.row("SELECT * FROM customers WHERE id = ?", customer_id)
        if row is None:
            raise _unknown(customer_id)
        if row["erased"]:
            raise ToolError(f"The data of customer {customer_id} was erased; there is nothing to read or change.")
        expect_version(f"Customer {customer_id}", row["version"], expected_version)
        return row


def _unknown(customer_id: str) -> ToolError:
    return ToolError(f"There is no customer {customer_id!r}. Check the identifier.")


def tools(database: Database) -> list[Tool]:
    customers = Customers(database)
    return [
        tool(customers.lookup_address, "Look up an address", READS),
        tool(customers.update_address, "Update an address", hints(destroys=True)),
        tool(customers.modify_account, "Modify an account", hints(destroys=True)),
        tool(customers.delete_customer_data, "Delete customer data", hints(destroys=True, repeatable=True)),
    ]


SERVER = Server(
    name="customers",
    title="Customers",
    instructions="Addresses and accounts of customers. Give the version you read to notice changes.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
