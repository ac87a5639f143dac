"""What the gateway says when it refuses: words in two languages, and one exception per kind of refusal.

Each exception is one stable problem type (RFC 9457). Only ``api/problems.py`` knows how it looks as HTTP.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

Language = Literal["vi", "en"]


class Text(NamedTuple):
    """One message for people, in Vietnamese and in English."""

    vi: str
    en: str

    def to(self, language: Language) -> str:
        return self.vi if language == "vi" else self.en


class Place(NamedTuple):
    """One wrong place of a request: a JSON Pointer (RFC 6901) or a parameter's name, and what is wrong there."""

    pointer: str
    message: Text


class Hindrance(RuntimeError):
    """Why a command cannot do its work, in words for whoever runs it."""


class GatewayError(Exception):
    """Base of every refusal. Raised only for what must leave no trace; a rejected report is data."""

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[Text]

    def __init__(
        self,
        detail: Text | None = None,
        *,
        errors: Sequence[Place] = (),
        retry_after: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail.en if detail else self.title.en)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.extra = dict(extra or {})


class MalformedRequest(GatewayError):
    """The body is not strict JSON, the envelope is wrong, or a parameter is outside its grammar."""

    status, slug = 400, "malformed-request"
    title = Text("Yêu cầu không đúng định dạng", "Malformed request")


class Unauthenticated(GatewayError):
    """No token, or one that is expired, forged or meant for somebody else."""

    status, slug = 401, "unauthenticated"
    title = Text("Chưa xác thực", "Authentication required")


class Forbidden(GatewayError):
    """The client's scopes or its agency subtree do not cover the request."""

    status, slug = 403, "forbidden"
    title = Text("Không có quyền", "Not allowed")


class Classified(GatewayError):
    """The report declares state-secret content, which must not pass here (Decree 09/2019/NĐ-CP, art. 1)."""

    status, slug = 403, "classified"
    title = Text("Từ chối nội dung bí mật nhà nước", "Classified content is refused")


class UntrustedReceipt(GatewayError):
    """A relayed report's first receipt was not signed by an issuer its client may speak for, or is for another one."""

    status, slug = 403, "untrusted-receipt"
    title = Text("Biên nhận đầu tiên không đáng tin cậy", "The first receipt is not trusted")


class NotFound(GatewayError):
    """Nothing of that name exists, or it lies outside the client's subtree."""

    status, slug = 404, "not-found"
    title = Text("Không tìm thấy", "Not found")


class Erased(GatewayError):
    """The report's bytes and texts were erased for good; its figures, receipt and proofs are as they were."""

    status, slug = 410, "erased"
    title = Text("Nội dung đã bị xóa", "Erased")


class ProofPending(GatewayError):
    """The report is stored, and its entry of the log is about to be sealed: ask again in a second."""

    status, slug = 404, "proof-pending"
    title = Text("Chưa có bằng chứng trong nhật ký", "Proof pending")


class MethodNotAllowed(GatewayError):
    """The route exists, but not with this method."""

    status, slug = 405, "method-not-allowed"
    title = Text("Phương thức không được hỗ trợ", "Method not allowed")


class NotAcceptable(GatewayError):
    """None of the media types asked for can be given."""

    status, slug = 406, "not-acceptable"
    title = Text("Không có định dạng được yêu cầu", "Not acceptable")


class RequestTimeout(GatewayError):
    """The head of the request did not come in time (RFC 9110, 15.5.9)."""

    status, slug = 408, "request-timeout"
    title = Text("Yêu cầu được gửi quá chậm", "The request came too slowly")


class RevisionConflict(GatewayError):
    """A current report exists and ``corrects`` is not its id."""

    status, slug = 409, "revision-conflict"
    title = Text("Đã có báo cáo hiện hành", "A current report exists")


class PeriodLocked(GatewayError):
    """The period is locked for the agency: only an extension or a return opens it again."""

    status, slug = 409, "period-locked"
    title = Text("Kỳ báo cáo đã khóa", "The period is locked")


class ConsolidationIncomplete(GatewayError):
    """A consolidation was to be complete, and reports are missing: they are named."""

    status, slug = 409, "consolidation-incomplete"
    title = Text("Chưa đủ báo cáo để tổng hợp", "Reports are missing for the consolidation")


class StateConflict(GatewayError):
    """The report or delivery is in a state that does not allow the action."""

    status, slug = 409, "state-conflict"
    title = Text("Trạng thái không cho phép", "The state does not allow this")


class CatalogueConflict(GatewayError):
    """A form version, code or indicator that is in use would change its meaning."""

    status, slug = 409, "catalogue-conflict"
    title = Text("Danh mục đang được sử dụng", "The catalogue entry is in use")


class ContentTooLarge(GatewayError):
    """The body is larger than the gateway takes."""

    status, slug = 413, "content-too-large"
    title = Text("Nội dung quá lớn", "Content too large")


class UnsupportedMediaType(GatewayError):
    """The body's media type or encoding is not one this route takes."""

    status, slug = 415, "unsupported-media-type"
    title = Text("Kiểu nội dung không được hỗ trợ", "Unsupported media type")


class PartsRefused(GatewayError):
    """Of the reports in one file some were not taken: ``parts`` has the answer of each."""

    status, slug = 422, "parts-refused"
    title = Text("Một số báo cáo trong tệp không được nhận", "Some reports of the file were not taken")


class IdempotencyKeyReused(GatewayError):
    """The idempotency key was used before with another body, media type or query."""

    status, slug = 422, "idempotency-key-reused"
    title = Text("Khóa chống trùng đã dùng cho nội dung khác", "Idempotency key reused")


class InvalidCatalogue(GatewayError):
    """A catalogue document is wrong; every place is named and nothing was loaded."""

    status, slug = 422, "invalid-catalogue"
    title = Text("Danh mục không hợp lệ", "Invalid catalogue document")


class TooManyRequests(GatewayError):
    """The client asked for more than its limits allow: it may go on after ``Retry-After``."""

    status, slug = 429, "too-many-requests"
    title = Text("Quá nhiều yêu cầu", "Too many requests")


class HeadTooLarge(GatewayError):
    """The address and the header fields of the request are too long or too many (RFC 6585, 5)."""

    status, slug = 431, "head-too-large"
    title = Text("Phần đầu của yêu cầu quá lớn", "The head of the request is too large")


class InternalError(GatewayError):
    """A fault of the gateway itself; the log has the detail under the request's id."""

    status, slug = 500, "internal-error"
    title = Text("Lỗi hệ thống", "Internal error")


class UpstreamFailed(GatewayError):
    """An upstream that had to be asked gave no answer that can be used."""

    status, slug = 502, "upstream-failed"
    title = Text("Máy chủ nhận không trả lời được", "The upstream gave no answer")


class Unavailable(GatewayError):
    """The database cannot be reached, or did not say whether it committed: retry with the same key or bytes."""

    status, slug = 503, "unavailable"
    title = Text("Tạm thời không phục vụ được", "Temporarily unavailable")
