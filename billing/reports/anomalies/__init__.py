"""Anomalies: what should be looked at before an account's month is closed.

A finding of severity `warn` is only shown. One of severity `hold` lets `billing invoice finalize` wait until somebody
has answered for it. Nothing here changes a bill, and the nightly never stops for it.

| check | value | bound | severity |
|---|---|---|---|
| `jump` | seconds of an app on a day | of the same weekday in the 8 weeks before (at least 4): twice the median, the median + 9 MAD, 10 hours: the largest; not where the median is 0 | `warn`; `hold` from twice the bound |
| `mirrored` | seconds of stays that one user had in several rooms from the same second to the same second, without the first | 1 % of the app's seconds of the day | `hold` where also the same video began in them within a second; else, and up to the bound, `warn` |
| `repeated` | share of events that equal another one in all but their id | 1 % | `warn` |
| `long_room` | seconds of a room on a day | 1,000 hours | `warn` |
| `alone` | seconds in which somebody was alone in a room on a day | 8 hours | `warn`; `hold` from 24 hours, or the whole day |
| `stale` | share of the month's amount for the 24 hours before stays ended because no event came | 1 % | `warn` |
| `gap` | windows in a row without use, busy on all other same weekdays of the month and on 95 % of its other days with use | 3 windows | `warn` |
| `quarantine` | share of an app's rows that wait in quarantine since the month began | 1 % | `warn` |
| `grace` | share of an app's seconds that were the 90 seconds after a lost connection | 10 % | `warn` |
| `price` | unit price of an item, beside its last one, while the account's terms stayed the same | ± 20 % | `hold` |
| `corrections` | sum of the corrections posted in the month, each without its sign, beside its usage | 5 % | `warn` |

MAD is the median of the distances from the median; 9 MAD are 6 standard deviations of a normal distribution.
"""  # noqa: E501 - a table
