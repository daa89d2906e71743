"""The words of documents in the languages that accounts can have: English, Japanese, Chinese.

A Japanese invoice with the seller's registration number (T and 13 digits) is a qualified invoice; a Chinese document
here is a statement of account (账单), not a fapiao.
"""

from collections.abc import Mapping
from datetime import date
from typing import Literal

Language = Literal["en", "ja", "zh"]

_WORDS: Mapping[str, tuple[str, str, str]] = {
    "invoice": ("Invoice", "請求書", "账单"),
    "credit_note": ("Credit note", "返還請求書", "红字账单"),
    "draft": ("Draft", "下書き", "草稿"),
    "number": ("Number", "請求書番号", "账单编号"),
    "issued_on": ("Issue date", "発行日", "开具日期"),
    "due_on": ("Due date", "お支払期限", "付款期限"),
    "period": ("Period", "ご利用期間", "计费期间"),
    "account": ("Account", "アカウント", "账户"),
    "credits": ("Credits invoice", "対象請求書", "对应账单"),
    "replaces": ("Replaces invoice", "差替元の請求書", "替换账单"),
    "reason": ("Reason", "理由", "原因"),
    "amount_due": ("Amount due", "ご請求金額", "应付金额"),
    "amount_credited": ("Amount credited", "返還金額", "退款金额"),
    "seller": ("From", "請求元", "开具方"),
    "customer": ("Billed to", "請求先", "客户"),
    "tax_id": ("Tax ID", "登録番号", "纳税人识别号"),
    "description": ("Description", "内容", "项目"),
    "minutes": ("Minutes", "利用分数", "分钟数"),
    "deducted": ("Paid by packages", "パッケージ充当", "套餐抵扣"),
    "price": ("Price per 1,000", "単価(1,000分)", "单价(每千分钟)"),
    "amount": ("Amount", "金額", "金额"),
    "subtotal": ("Subtotal", "小計", "小计"),
    "discount": ("Contract discount included", "契約割引(含む)", "合同折扣(已含)"),
    "rounding": ("Rounding", "端数調整", "尾差"),
    "total": ("Total", "合計", "合计"),
    "total_incl": ("Total including tax", "合計(税込)", "合计(含税)"),
    "tax_on": ("{text}, on {base}", "{text} 対象 {base}", "{text}，计税金额 {base}"),
    "tax_in": ("{text}, included in {gross}", "{text} 対象 {gross}(内税)", "{text}，含于 {gross}"),
    "bank": ("Bank details", "お振込先", "收款账户"),
    "package": ("Package {name}, {minutes}", "パッケージ {name}({minutes})", "套餐 {name}，{minutes}"),
    "package_valid": ("valid {first} to {last}", "有効期間 {first}～{last}", "有效期 {first}至{last}"),
    "refund": ("Refund of package {name}", "パッケージ {name} の返金", "套餐 {name} 退款"),
    "correction": ("Corrections of earlier days", "過去分の訂正", "前期更正"),
    "other": ("Further items", "その他", "其他项目"),
    "all_apps": ("all apps", "全アプリ", "全部应用"),
    "credit_part": ("Part of line {line} of {number}", "{number} 第{line}行の一部", "{number} 第{line}行部分金额"),
    "note_terms": (
        "Please pay by {due_on} and quote the number {number}.",
        "{due_on}までにお支払いください。お振込の際は番号 {number} をご記入ください。",
        "请于{due_on}前付款，并注明编号 {number}。",
    ),
    "note_minutes": (
        "Minutes are the seconds of an app, item and day, divided by 60 and rounded up. Only the total is rounded.",
        "分数は、アプリ・項目・日ごとの秒数を60で割り、切り上げたものです。端数処理は合計で1回のみ行います。",
        "分钟数按应用、项目和日汇总秒数后除以60并向上取整。仅对合计金额取整一次。",
    ),
    "note_annex": (
        "The annex has every line, day and 5-minute window.",
        "明細(行・日・5分単位)は別紙をご覧ください。",
        "明细(逐行、逐日、每5分钟)见附件。",
    ),
    "note_reverse": ("Reverse charge", "リバースチャージ", "反向征税"),
    "note_draft": (
        "A draft has no number and is not to be paid.",
        "下書きには番号がなく、お支払いの対象ではありません。",
        "草稿没有编号，无需付款。",
    ),
    "audio": ("Audio", "音声", "音频"),
    "sd": ("SD video", "SD映像", "标清视频"),
    "hd": ("HD video", "HD映像", "高清视频"),
    "fhd": ("Full HD video", "フルHD映像", "全高清视频"),
    "2k": ("2K video", "2K映像", "2K视频"),
    "4k": ("4K video", "4K映像", "4K视频"),
}
_PLACE: Mapping[str, int] = {"en": 0, "ja": 1, "zh": 2}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)


def word(key: str, language: str, **values: object) -> str:
    """A word or sentence of a language, with values in its places; a `KeyError` when it is not known."""
    return _WORDS[key][_PLACE[language]].format(**values)


def day_in_words(day: date, language: str) -> str:
    """`5 March 2026`, `2026年3月5日`."""
    if language == "en":
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
    return f"{day.year}年{day.month}月{day.day}日"


def period_in_words(first: date, last: date, zone: str, language: str) -> str:
    """A month: `1–31 March 2026 (Asia/Tokyo)`, `2026年3月1日～31日 (Asia/Tokyo)`."""
    match language:
        case "en":
            days = f"{first.day}–{day_in_words(last, language)}"
        case "ja":
            days = f"{day_in_words(first, language)}～{last.day}日"
        case _:
            days = f"{day_in_words(first, language)}至{last.day}日"
    return f"{days} ({zone})"
