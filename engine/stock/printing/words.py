"""What is printed beside the fields of a card, in each language of the cardholders' pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language. `valid_for` takes {days} and counts from the first use; it needs no plural.

    `steps`: the standard instructions, a line each.
    """

    name: str
    card_number: str
    password: str
    serial: str
    valid_for: str
    valid_until: str
    call: str
    scan: str
    help: str
    sample: str
    steps: tuple[str, ...]
    right_to_left: bool = False


LANGUAGES = {
    "en": Words(
        "English",
        "Card number",
        "Password",
        "Serial number",
        "Days of use from the first call: {days}",
        "Valid until",
        "Call",
        "Balance and recharge",
        "Help",
        "SAMPLE",
        (
            "Call an access number.",
            "Enter the card number, then the password.",
            "Dial 00, the country and the number.",
        ),
    ),
    "es": Words(
        "Español",
        "Número de tarjeta",
        "Clave",
        "Número de serie",
        "Días de uso desde la primera llamada: {days}",
        "Válida hasta",
        "Llame al",
        "Saldo y recarga",
        "Ayuda",
        "MUESTRA",
        (
            "Llame a un número de acceso.",
            "Marque el número de tarjeta y luego la clave.",
            "Marque 00, el país y el número.",
        ),
    ),
    "fr": Words(
        "Français",
        "Numéro de carte",
        "Code secret",
        "Numéro de série",
        "Jours d’utilisation dès le premier appel : {days}",
        "Valable jusqu’au",
        "Appelez le",
        "Solde et recharge",
        "Aide",
        "SPÉCIMEN",
        (
            "Appelez un numéro d’accès.",
            "Tapez le numéro de carte, puis le code secret.",
            "Composez le 00, le pays et le numéro.",
        ),
    ),
    "pt": Words(
        "Português",
        "Número do cartão",
        "Senha",
        "Número de série",
        "Dias de uso desde a primeira chamada: {days}",
        "Válido até",
        "Ligue para",
        "Saldo e recarga",
        "Ajuda",
        "AMOSTRA",
        (
            "Ligue para um número de acesso.",
            "Digite o número do cartão e depois a senha.",
            "Disque 00, o país e o número.",
        ),
    ),
    "ru": Words(
        "Русский",
        "Номер карты",
        "ПИН-код",
        "Серийный номер",
        "Дней действия с первого звонка: {days}",
        "Действует до",
        "Звоните",
        "Баланс и пополнение",
        "Помощь",
        "ОБРАЗЕЦ",
        (
            "Позвоните по номеру доступа.",
            "Введите номер карты, затем ПИН-код.",
            "Наберите 00, код страны и номер.",
        ),
    ),
    "ar": Words(
        "العربية",
        "رقم البطاقة",
        "الرقم السري",
        "الرقم التسلسلي",
        "أيام الاستخدام من أول مكالمة: {days}",
        "صالحة حتى",
        "اتصل على",
        "الرصيد وإعادة الشحن",
        "المساعدة",
        "نموذج",
        (
            "اتصل برقم الوصول.",
            "أدخل رقم البطاقة ثم الرقم السري.",
            "اطلب 00 ثم رمز الدولة ثم الرقم.",
        ),
        right_to_left=True,
    ),
    "bn": Words(
        "বাংলা",
        "কার্ড নম্বর",
        "পাসওয়ার্ড",
        "সিরিয়াল নম্বর",
        "প্রথম কল থেকে ব্যবহারের দিন: {days}",
        "মেয়াদ শেষ",
        "কল করুন",
        "ব্যালেন্স ও রিচার্জ",
        "সাহায্য",
        "নমুনা",
        (
            "অ্যাক্সেস নম্বরে কল করুন।",
            "কার্ড নম্বর, তারপর পাসওয়ার্ড দিন।",
            "00, দেশের কোড ও নম্বর ডায়াল করুন।",
        ),
    ),
    "zh": Words(
        "中文",
        "卡号",
        "密码",
        "序列号",
        "首次通话后可用天数：{days}",
        "有效期至",
        "请拨打",
        "查询余额和充值",
        "帮助",
        "样张",
        (
            "拨打接入号码。",
            "输入卡号，然后输入密码。",
            "拨 00、国家代码和电话号码。",
        ),
    ),
}
"""Every language by its code; `name` is how its speakers call it."""
