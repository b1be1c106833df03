"""Parameters and values that several servers have in common. Money is in integer cents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

MOST_CENTS = 100_000_000

Cents = Annotated[int, Field(strict=True, ge=1, le=MOST_CENTS, description="Money in cents: 4900 is 49.00.")]
Quantity = Annotated[int, Field(strict=True, ge=1, le=10_000, description="Number of units.")]
Sku = Annotated[str, Field(min_length=1, max_length=64, description="Product code, such as LAMP-01.")]
OrderId = Annotated[str, Field(min_length=1, max_length=64, description="Identifier of the order.")]
CustomerId = Annotated[str, Field(min_length=1, max_length=64, description="Identifier of the customer: CUS-1001.")]
Currency = Annotated[Literal["USD", "EUR"], Field(description="ISO 4217 currency code.")]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166 code in capitals, such as US or DE.")]
Region = Annotated[str | None, Field(max_length=64, description="State or province code, such as CA; null if none.")]
Line = Annotated[str, Field(max_length=200, description="Street and number.")]
City = Annotated[str, Field(max_length=100, description="City or town.")]
PostalCode = Annotated[str, Field(max_length=20, description="Postal code as written in that country.")]
Email = Annotated[
    str,
    Field(
        pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        max_length=254,
        description="One e-mail address: ada@example.com.",
    ),
]
Reason = Annotated[str, Field(min_length=1, max_length=500, description="Why, in a few words; kept with the record.")]
ExpectedVersion = Annotated[
    int | None,
    Field(
        strict=True,
        ge=1,
        le=2**53,
        description="The version you last read; the change is refused if it is another now; null: any.",
    ),
]


class Address(BaseModel, extra="forbid"):
    """A postal address."""

    line1: Line
    city: City
    region: Region = None
    postal_code: PostalCode
    country: Country
