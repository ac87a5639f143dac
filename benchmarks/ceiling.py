"""The bare endpoint that pushes are compared with: the same validation of the same bytes, and one insert.

No token, no idempotency key, no rules, no receipt, no answer worth keeping: what is left when everything is
taken away that makes a gateway of it. Run as a process of its own: the port, then the database's address.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from benchmarks.reports import documents
from fastapi import FastAPI, Request, Response
from uuid_utils.compat import uuid7

from gateway.domain.exact import decode
from gateway.domain.form import Form
from gateway.domain.form_document import FormDocument
from gateway.domain.report import Submission

POOL = 16
TABLE = "CREATE TABLE bench_bodies (id uuid PRIMARY KEY, body bytea NOT NULL)"


def build(url: str) -> FastAPI:
    """The bare application on a database."""
    forms = [Form(FormDocument.model_validate(document)) for _, kind, document in documents() if kind == "form"]
    models = {form.code: form.rows_model for form in forms}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=POOL, max_size=POOL) as app.state.pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/bare")
    async def bare(request: Request) -> Response:
        body = await request.body()
        submission = Submission.model_validate(decode(body))
        models[submission.form].validate_python(submission.rows)
        await request.app.state.pool.execute("INSERT INTO bench_bodies VALUES ($1, $2)", uuid7(), body)
        return Response(b'{"status":"accepted"}', 201, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        build(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )
