"""English names of time zones, standard and summer, for the text form of a Date.

Zones that are missing here print their offset instead; nothing else depends on the table.
"""

from __future__ import annotations

from typing import Final

_PAIRS: Final = {
    ("Eastern Standard Time", "Eastern Daylight Time"): (
        "America/New_York America/Toronto America/Detroit America/Montreal America/Nassau "
        "America/Jamaica America/Panama America/Cancun US/Eastern America/Indiana/Indianapolis"
    ),
    ("Central Standard Time", "Central Daylight Time"): (
        "America/Chicago America/Winnipeg America/Costa_Rica America/Guatemala America/El_Salvador "
        "America/Mexico_City America/Regina US/Central"
    ),
    ("Mountain Standard Time", "Mountain Daylight Time"): (
        "America/Denver America/Edmonton America/Boise America/Phoenix US/Mountain"
    ),
    ("Pacific Standard Time", "Pacific Daylight Time"): (
        "America/Los_Angeles America/Vancouver America/Tijuana US/Pacific"
    ),
    ("Alaska Standard Time", "Alaska Daylight Time"): "America/Anchorage America/Juneau US/Alaska",
    ("Hawaii-Aleutian Standard Time", "Hawaii-Aleutian Daylight Time"): (
        "Pacific/Honolulu America/Adak US/Hawaii"
    ),
    ("Atlantic Standard Time", "Atlantic Daylight Time"): (
        "America/Halifax America/Puerto_Rico America/Barbados Atlantic/Bermuda"
    ),
    ("Newfoundland Standard Time", "Newfoundland Daylight Time"): "America/St_Johns",
    ("Brasilia Standard Time", "Brasilia Summer Time"): "America/Sao_Paulo America/Bahia",
    ("Argentina Standard Time", "Argentina Summer Time"): "America/Argentina/Buenos_Aires",
    ("Chile Standard Time", "Chile Summer Time"): "America/Santiago",
    ("Colombia Standard Time", "Colombia Summer Time"): "America/Bogota",
    ("Peru Standard Time", "Peru Summer Time"): "America/Lima",
    ("Venezuela Time", "Venezuela Time"): "America/Caracas",
    ("Greenwich Mean Time", "Greenwich Mean Time"): (
        "Africa/Abidjan Africa/Accra Africa/Dakar Atlantic/Reykjavik GMT Etc/GMT"
    ),
    ("Greenwich Mean Time", "British Summer Time"): "Europe/London GB",
    ("Greenwich Mean Time", "Irish Standard Time"): "Europe/Dublin",
    ("Western European Standard Time", "Western European Summer Time"): (
        "Europe/Lisbon Atlantic/Canary Atlantic/Madeira"
    ),
    ("Central European Standard Time", "Central European Summer Time"): (
        "Europe/Amsterdam Europe/Belgrade Europe/Berlin Europe/Bratislava Europe/Brussels "
        "Europe/Budapest Europe/Copenhagen Europe/Ljubljana Europe/Luxembourg Europe/Madrid "
        "Europe/Malta Europe/Monaco Europe/Oslo Europe/Paris Europe/Prague Europe/Rome "
        "Europe/Sarajevo Europe/Skopje Europe/Stockholm Europe/Tirane Europe/Vaduz Europe/Vienna "
        "Europe/Warsaw Europe/Zagreb Europe/Zurich Africa/Algiers Africa/Tunis"
    ),
    ("Eastern European Standard Time", "Eastern European Summer Time"): (
        "Europe/Athens Europe/Bucharest Europe/Chisinau Europe/Helsinki Europe/Kiev Europe/Kyiv "
        "Europe/Riga Europe/Sofia Europe/Tallinn Europe/Vilnius Asia/Beirut Africa/Cairo"
    ),
    ("Moscow Standard Time", "Moscow Summer Time"): "Europe/Moscow Europe/Minsk",
    ("Israel Standard Time", "Israel Daylight Time"): "Asia/Jerusalem",
    ("Arabian Standard Time", "Arabian Daylight Time"): (
        "Asia/Riyadh Asia/Baghdad Asia/Kuwait Asia/Qatar"
    ),
    ("Gulf Standard Time", "Gulf Standard Time"): "Asia/Dubai Asia/Muscat",
    ("Iran Standard Time", "Iran Daylight Time"): "Asia/Tehran",
    ("Pakistan Standard Time", "Pakistan Summer Time"): "Asia/Karachi",
    ("India Standard Time", "India Standard Time"): "Asia/Kolkata Asia/Calcutta Asia/Colombo",
    ("Nepal Time", "Nepal Time"): "Asia/Kathmandu",
    ("Bangladesh Standard Time", "Bangladesh Summer Time"): "Asia/Dhaka",
    ("Indochina Time", "Indochina Time"): "Asia/Bangkok Asia/Ho_Chi_Minh Asia/Saigon",
    ("Western Indonesia Time", "Western Indonesia Time"): "Asia/Jakarta",
    ("China Standard Time", "China Daylight Time"): "Asia/Shanghai Asia/Macau",
    ("Hong Kong Standard Time", "Hong Kong Summer Time"): "Asia/Hong_Kong",
    ("Taipei Standard Time", "Taipei Daylight Time"): "Asia/Taipei",
    ("Singapore Standard Time", "Singapore Standard Time"): "Asia/Singapore",
    ("Malaysia Time", "Malaysia Time"): "Asia/Kuala_Lumpur",
    ("Philippine Standard Time", "Philippine Summer Time"): "Asia/Manila",
    ("Japan Standard Time", "Japan Daylight Time"): "Asia/Tokyo Japan",
    ("Korean Standard Time", "Korean Daylight Time"): "Asia/Seoul",
    ("Australian Western Standard Time", "Australian Western Daylight Time"): "Australia/Perth",
    ("Australian Central Standard Time", "Australian Central Daylight Time"): (
        "Australia/Adelaide Australia/Darwin"
    ),
    ("Australian Eastern Standard Time", "Australian Eastern Daylight Time"): (
        "Australia/Sydney Australia/Melbourne Australia/Brisbane Australia/Hobart"
    ),
    ("Lord Howe Standard Time", "Lord Howe Daylight Time"): "Australia/Lord_Howe",
    ("New Zealand Standard Time", "New Zealand Daylight Time"): "Pacific/Auckland",
    ("West Africa Standard Time", "West Africa Summer Time"): "Africa/Lagos",
    ("Central Africa Time", "Central Africa Time"): "Africa/Harare Africa/Maputo Africa/Kigali",
    ("South Africa Standard Time", "South Africa Standard Time"): "Africa/Johannesburg",
    ("East Africa Time", "East Africa Time"): "Africa/Nairobi Africa/Addis_Ababa Africa/Kampala",
    ("Coordinated Universal Time", "Coordinated Universal Time"): "Etc/UTC Etc/UCT Zulu",
}

ZONE_NAMES: Final = {zone: names for names, zones in _PAIRS.items() for zone in zones.split()}
