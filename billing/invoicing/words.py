"""The words of a document's first page in English, Japanese and Chinese: one table, and how each language writes days.

A Chinese document is a 账单 (bill) and never a 发票 (fapiao): only the tax authority's system issues those.
"""

from datetime import date
from decimal import Decimal

from billing.money import minor_digits, plain
from billing.periods import month_days

LANGUAGES = ("en", "ja", "zh")

# Each text in the order of `LANGUAGES`; names in braces are filled in.
WORDS: dict[str, tuple[str, str, str]] = {
    # Titles.
    "invoice": ("Invoice", "請求書", "账单"),
    "qualified_invoice": ("Invoice", "適格請求書", "账单"),
    "credit_note": ("Credit note", "返還請求書", "贷项通知单"),
    "qualified_credit_note": ("Credit note", "適格返還請求書", "贷项通知单"),
    "draft": ("Draft", "下書き", "草稿"),
    # Facts.
    "number": ("Number", "請求書番号", "账单编号"),
    "credit_note_number": ("Number", "番号", "编号"),
    "issued_on": ("Date of issue", "発行日", "出账日期"),
    "due_on": ("Due date", "お支払期限", "付款截止日"),
    "period": ("Period", "ご利用期間", "账期"),
    "account": ("Account", "アカウント", "账户"),
    "currency": ("Currency", "通貨", "币种"),
    "credits": ("Credits invoice", "対象の請求書", "对应账单"),
    "replaces": ("Replaces invoice", "差し替え前の請求書", "替换账单"),
    "reason": ("Reason", "理由", "原因"),
    "amount_due": ("Amount due", "ご請求金額", "应付金额"),
    "amount_credited": ("Amount credited", "返還金額", "贷记金额"),
    # Parties.
    "seller": ("From", "発行者", "服务提供方"),
    "customer": ("Billed to", "ご請求先", "客户"),
    "credited_customer": ("Credited to", "宛先", "客户"),
    "addressee": ("{name}", "{name} 御中", "{name}"),
    "registration_number": ("Registration number: {id}", "登録番号：{id}", "登记号：{id}"),
    "vat_id": ("VAT ID: {id}", "VAT番号：{id}", "增值税号：{id}"),
    "tax_id": ("Tax ID: {id}", "税務番号：{id}", "税号：{id}"),
    "bank": ("Bank details", "お振込先", "收款账户"),
    # Headers.
    "what": ("Description", "内容", "项目"),
    "minutes": ("Minutes", "利用分数", "用量（分钟）"),
    "paid": ("Paid by packages", "パッケージ充当分", "套餐抵扣（分钟）"),
    "price": ("Price per 1,000", "単価（1,000分）", "单价（每千分钟）"),
    "amount": ("Amount ({currency})", "金額（{currency}）", "金额（{currency}）"),
    # Lines.
    "audio": ("Audio", "音声", "音频"),
    "sd": ("SD video", "SDビデオ", "标清视频（SD）"),
    "hd": ("HD video", "HDビデオ", "高清视频（HD）"),
    "fhd": ("Full HD video", "フルHDビデオ", "全高清视频（Full HD）"),
    "2k": ("2K video", "2Kビデオ", "2K 视频"),
    "4k": ("4K video", "4Kビデオ", "4K 视频"),
    "recording": ("Recording", "録画", "云端录制"),
    "mix-h264": ("Mixing, H.264", "ミキシング（H.264）", "混流转码（H.264）"),
    "mix-h265": ("Mixing, H.265", "ミキシング（H.265）", "混流转码（H.265）"),
    "of": ("{what}, {of}", "{what}：{of}", "{what}：{of}"),
    "apps": ("{count} apps", "{count} アプリ", "{count} 个应用"),
    "in_zone": ("{days} ({zone})", "{days}({zone})", "{days}({zone})"),
    "days": ("{what} ({days})", "{what}（{days}）", "{what}（{days}）"),
    "credited_line": ("{what}, line {line}", "{what}（明細 {line}）", "{what}（第 {line} 行）"),
    "credited_part": ("{what}, part of line {line}", "{what}（明細 {line} の一部）", "{what}（第 {line} 行的一部分）"),
    "with_tax": ("{what} [{tax}]", "{what}【{tax}】", "{what}【{tax}】"),
    "other": ("Other usage", "その他のご利用", "其他用量"),
    "correction": ("Corrections of earlier days", "過去のご利用分の訂正", "前期用量更正"),
    "package": ("Minute package {name}", "分数パッケージ {name}", "分钟套餐包 {name}"),
    "packages": ("Minute packages", "分数パッケージ", "分钟套餐包"),
    "service": ("Service {name}", "サービス {name}", "服务 {name}"),
    "services": ("Services", "サービス", "服务"),
    "fee": ("Fee {name}", "手数料 {name}", "费用 {name}"),
    "fees": ("Fees", "手数料", "费用"),
    "refund": ("Refund of package {name}", "パッケージ {name} の返金", "套餐包 {name} 退款"),
    "refunds": ("Refunds of packages", "パッケージの返金", "套餐包退款"),
    "discount": ("Discount {name}", "値引き {name}", "折扣 {name}"),
    "discounts": ("Discounts", "値引き", "折扣"),
    # Sums.
    "subtotal": ("Subtotal", "小計", "小计"),
    "tax_on": ("{tax} on {base}", "{tax}（対象額 {base}）", "{tax}（计税金额 {base}）"),
    "tax_within": ("of which {tax} on {base}", "うち{tax}（税抜対象額 {base}）", "其中：{tax}（不含税金额 {base}）"),
    "total": ("Total", "合計", "合计"),
    "total_with_tax": ("Total including tax", "合計（税込）", "合计（含税）"),
    "contract_discount": (
        "Contract discount, in the prices",
        "契約値引き（単価に反映済み）",
        "合同折扣（已计入单价）",
    ),
    # Notes.
    "pay": (
        "Please pay {amount} by {day}, stating {number}.",
        "{day}までに{amount}をお支払いください。お振込の際は請求書番号{number}をご記載ください。",
        "请于{day}前支付 {amount}，并注明账单编号 {number}。",
    ),
    "no_demand": (
        "This is a draft. It is no demand for payment, and its amounts may change.",
        "これは下書きです。お支払いの必要はなく、金額は変わることがあります。",
        "此为草稿，无需付款，金额可能变动。",
    ),
    "credited": (
        "The amount credited is set against open invoices, or else against the next ones.",
        "返還金額は、未払いの請求書、または次回以降の請求書に充当いたします。",
        "贷记金额将用于抵扣未付账单或后续账单。",
    ),
    "reverse_charge": (
        "Reverse charge: the customer is liable for the VAT.",
        "リバースチャージ方式（Reverse charge）：お客様が納税義務者となります。",
        "反向征税（Reverse charge）：由客户申报缴纳增值税。",
    ),
    "minutes_note": (
        "Minutes are the seconds of an app, item and day, divided by 60 and rounded up. Free minutes are a package.",
        "分数は、アプリ・品目・日ごとの秒数を60で割り、切り上げたものです。無料分数もパッケージと同様に充当されます。",
        "分钟数按应用、项目、日汇总秒数除以 60 后向上取整。免费分钟数与套餐包同样抵扣。",
    ),
    "rounding_note": (
        "The exact amounts are {exact}, the rounding {rounding}, the sum {sum}. The amounts shown add up to this sum.",
        "端数処理前の合計は{exact}、端数調整は{rounding}、調整後は{sum}です。表示金額の合計はこれに一致します。",
        "未取整金额合计 {exact}，取整差额 {rounding}，取整后 {sum}。所示金额之和与此一致。",
    ),
    "folded_note": (
        "Summed up here; the annex has it line by line ({count} lines).",
        "この頁は集計です。明細（{count} 行）は別紙をご覧ください。",
        "本页为汇总，明细（共 {count} 行）见附件。",
    ),
    "contract": ("Contract {terms}", "契約 {terms}", "合同 {terms}"),
    "annex_note": ("Day by day in the annex.", "日ごとの内訳は別紙をご覧ください。", "每日明细见附件。"),
    "seal_note": (
        "Seal of all days billed so far: {seal}",
        "請求済みの全日の封印：{seal}",
        "迄今所有计费日的封印：{seal}",
    ),
    "no_fapiao": (
        "This document is not a fapiao.",
        "本書は中国の発票（fapiao）ではありません。",
        "本账单不是发票，不能作为增值税抵扣凭证。",
    ),
    # The footer of the sheet.
    "page": ("Page {page}", "{page} 頁", "第 {page} 页"),
}

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)


def word(key: str, language: str, **facts: object) -> str:
    """A text in a language, with its facts filled in."""
    return WORDS[key][LANGUAGES.index(language)].format(**facts)


def day_in_words(day: date, language: str) -> str:
    """`31 March 2026`, `2026年3月31日`."""
    if language == "en":
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
    return f"{day.year}年{day.month}月{day.day}日"


def days_in_words(first: date, last: date, language: str) -> str:
    """`1–31 March 2026`, `2026年3月1日～31日`, `2026年3月1日至31日`; what both days share stands once."""
    if first == last:
        return day_in_words(first, language)
    same_year, same_month = first.year == last.year, (first.year, first.month) == (last.year, last.month)
    if language == "en":
        start = f"{first.day}" if same_month else f"{first.day} {_MONTHS[first.month - 1]}"
        start = start if same_year else f"{start} {first.year}"
        return f"{start}{'–' if same_month else ' – '}{day_in_words(last, language)}"
    end = f"{last.day}日" if same_month else f"{last.month}月{last.day}日"
    end = end if same_year else f"{last.year}年{end}"
    return f"{day_in_words(first, language)}{'～' if language == 'ja' else '至'}{end}"


def period_in_words(month: date, timezone: str, language: str) -> str:
    """`1–31 March 2026 (Asia/Tokyo)`: the local days of a month."""
    days = month_days(month)
    return word("in_zone", language, days=days_in_words(days[0], days[-1], language), zone=timezone)


def amount_in_digits(amount: Decimal, digits: int) -> str:
    """`2,372`, `-0.30`: an amount with the currency's digits."""
    return f"{amount:,.{digits}f}"


def exact_amount(amount: Decimal, digits: int) -> str:
    """`2,157.30`, `4.1364`: an amount with the digits it has, at least the currency's."""
    decimals = len(plain(amount).partition(".")[2])
    return f"{amount:,.{max(decimals, digits)}f}"


def money(amount: Decimal, currency: str) -> str:
    """`JPY 2,372`."""
    return f"{currency} {amount_in_digits(amount, minor_digits(currency))}"
